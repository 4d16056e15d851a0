"""Networks: architectures, losses, presets, model files and what runs them."""
