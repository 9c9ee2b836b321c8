"""What `keras-clip finetune` takes."""

from keras_clip.command.parser import add_command


def add(commands, runs):
    """Add the command."""
    add_command(commands, runs, "finetune", "fine-tune a model on labelled pictures")
