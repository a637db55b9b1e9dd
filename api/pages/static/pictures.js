// Larger pictures take the place of the small ones once a worker has drawn them; a picture that cannot be had, of words.
"use strict";

function sayWhy(image) {
  const words = document.createElement("span");
  words.className = "frame missing";
  words.textContent = "no picture yet: load the page again in a while";
  image.closest(".frame").replaceWith(words);
}

// After all else, so that nobody waits for them to see the page.
window.addEventListener("load", () => {
  for (const image of document.querySelectorAll("img[data-larger]")) {
    const larger = new Image();
    larger.addEventListener("load", () => {
      image.src = larger.src;
    });
    larger.src = image.dataset.larger;
  }
});

for (const image of document.querySelectorAll(".pictures.large img")) {
  image.addEventListener("error", () => sayWhy(image));
  if (image.complete && image.naturalWidth === 0) {
    sayWhy(image);
  }
}
