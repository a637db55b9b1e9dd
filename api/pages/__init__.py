"""The pages under /ui: what people see of the service. Rendered here, and whole without any script."""
