"""An index of pictures that texts and pictures find."""
