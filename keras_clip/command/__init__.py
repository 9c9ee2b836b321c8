"""What each command of `keras-clip` does; `keras_clip.cli` parses, calls one of these, prints."""
