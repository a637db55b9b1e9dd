// A picture that could not be had gives way to the small one, or to words.
"use strict";

function giveWay(image) {
  const instead = image.dataset.instead;
  if (instead) {
    delete image.dataset.instead;
    image.src = instead;
    return;
  }
  const words = document.createElement("span");
  words.className = "frame missing";
  words.textContent = "no picture yet: load the page again in a while";
  image.closest(".frame").replaceWith(words);
}

for (const image of document.querySelectorAll(".pictures.large img")) {
  image.addEventListener("error", () => giveWay(image));
  if (image.complete && image.naturalWidth === 0) {
    giveWay(image);
  }
}
