"""The parts of a job on a Ray cluster, computed by the very code that computes them here."""

import os
import pickle
from pathlib import Path

from keras_clip.bulk.manifest import is_there
from keras_clip.bulk.parts import make_part
from keras_clip.data.decoding import decoded
from keras_clip.preprocessing.images import core_count


class RayEngine:
    """Computes parts by Ray Data; a worker that dies is replaced, and its part done again.

    Pictures and directory lie where every machine sees them under the same path.

    Args:
        load: picklable function without arguments that returns (embed_pixels, processor); it is
            called once a worker.
        workers: int. Processes that hold the model, spread over the machines; each uses the cores
            of its machine, and a GPU where the cluster has one for each.
        address: str, the cluster's, such as `ray://head:10001` or `auto`; None: one on this
            machine, for this job.
        threads: threads that decode in each worker; None: one a core.
    """

    def __init__(self, load, workers=1, address=None, threads=None):
        self.load, self.workers, self.address, self.threads = load, workers, address, threads

    def __call__(self, directory, settings, todo, pictures, advance):
        """Yield (part, record) of each part, in the order in which they are done."""
        if not todo:
            return
        ray = _import_ray()
        ours = not ray.is_initialized()
        if ours:
            self._connect(ray, settings.backend)
        try:
            rows = [_row(part, pictures[part.first : part.last]) for part in todo]
            made = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                Worker,
                fn_constructor_args=(self.load, str(Path(directory).absolute()), settings),
                fn_constructor_kwargs={"threads": self.threads},
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=self.workers),
                num_cpus=1,
                num_gpus=int(ray.cluster_resources().get("GPU", 0) >= self.workers),
            )
            ray.data.DataContext.get_current().enable_progress_bars = False  # there is one
            parts = {part.number: part for part in todo}
            for row in made.iter_rows():
                part, record = parts[row["number"]], pickle.loads(row["record"])
                if not is_there(Path(directory), record):
                    raise FileNotFoundError(
                        f"{directory}: a worker has written {part.name}, but it is not here; the "
                        "directory must lie where every machine sees it."
                    )
                advance(part.last - part.first)
                yield part, record
        finally:
            if ours:
                ray.shutdown()

    def _connect(self, ray, backend):
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would report home
        own = {"num_cpus": self.workers, "include_dashboard": False} if not self.address else {}
        ray.init(
            self.address, runtime_env={"env_vars": worker_environment(backend)},
            log_to_driver=False, **own,
        )  # fmt: skip


class Worker:
    """A process that holds the model and makes parts."""

    def __init__(self, load, directory, settings, threads=None):
        self.directory, self.settings, self.threads = directory, settings, threads
        self.embed_pixels, self.processor = load()

    def __call__(self, rows):
        """One part's row of a Ray Data batch to its record."""
        part, pictures = pickle.loads(rows["part"][0])
        batches = decoded(pictures, self.processor, self.settings.batch_size, self.threads)
        record = make_part(
            self.directory, self.settings, part, pictures, batches, self.embed_pixels
        )
        return {"number": [part.number], "record": [pickle.dumps(record)]}


def worker_environment(backend):
    """The environment variables of a worker: the backend, and as many threads as compute here.

    Ray would set one thread. Their number decides where torch splits sums, and with it the last
    bits.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is None and backend == "torch":
        import torch

        threads = torch.get_num_threads()
    return {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_NUM_THREADS": str(threads or core_count()),
    }


def _row(part, pictures):
    return {"part": pickle.dumps((part, pictures))}


def _import_ray():
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            'A cluster needs Ray: pip install "keras-clip[scale]".', name="ray"
        ) from error
    return ray
