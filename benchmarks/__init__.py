"""Programs that measure the package itself: its engine's speed and error bands, its levels, what gradients are worth."""
