"""A bar with rate and remaining time on standard error."""

from contextlib import contextmanager


@contextmanager
def bar(total, done, progress=None):
    """Show a bar for pictures; yields the function that moves it on.

    Args:
        total: int, pictures of the job.
        done: int, those of earlier runs.
        progress: bool or None. None: on a terminal.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    class RateColumn(ProgressColumn):
        """Pictures a second of the last half minute."""

        def render(self, task):
            return f"{task.speed:.1f}/s" if task.speed else ""

    console = Console(stderr=True)
    if not (console.is_terminal if progress is None else progress):
        yield lambda count: None  # a disabled bar of rich before 15 ends with an empty line
        return
    columns = (
        TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), RateColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as shown:
        task = shown.add_task("", total=total, completed=done)
        yield lambda count: shown.advance(task, count)
