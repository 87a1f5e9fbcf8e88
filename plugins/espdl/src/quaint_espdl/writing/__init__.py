"""An integer model to the file for the chip."""
