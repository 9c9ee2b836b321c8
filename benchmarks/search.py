"""Build and ask an index of random vectors, beside exact search in NumPy and faiss's indexes.

python benchmarks/search.py [--rows 200000 1000000] [--dimension 512] [--ours]

Gaussian vectors have no clusters, so that no index can leave most of them out: the hardest case.
faiss is what clip-retrieval builds its indexes with.
"""

import argparse
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from keras_clip.search import Description, Index

QUERIES, K, CHUNK = 100, 10, 50_000


def unit(random, count, dimension):
    rows = random.standard_normal((count, dimension), dtype="float32")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def ours(vectors, folder):
    """Build keras-clip's index; returns its function from a query to row numbers, and its bytes."""
    index = Index.create(Path(folder, "index"), Description("random", vectors.shape[1]))
    now = datetime.now(UTC)
    file = {"modified": now, "added": now, "width": 640, "height": 480, "size": 1}
    for start in range(0, len(vectors), CHUNK):
        chunk = enumerate(vectors[start : start + CHUNK], start)
        rows = [{**file, "path": f"{n:09}.jpg", "vector": vector} for n, vector in chunk]
        index.database.replace(rows, [])
    index.database.tidy()
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return lambda query: [int(hit.path[:9]) for hit in index.search(query[None], K)[0]], size


def numpy_exact(vectors, folder):
    def ask(query):
        cosines = vectors @ query
        best = np.argpartition(-cosines, K)[:K]
        return best[np.argsort(-cosines[best])].tolist()

    return ask, vectors.nbytes


def faiss_index(key, settings):
    """A builder of the index that faiss's factory makes of a key."""

    def build(vectors, folder):
        import faiss

        index = faiss.index_factory(vectors.shape[1], key, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[: max(CHUNK, int(160 * len(vectors) ** 0.5))])  # 40 a list
        index.add(vectors)
        faiss.ParameterSpace().set_index_parameters(index, settings)
        path = Path(folder, "faiss")
        faiss.write_index(index, str(path))
        return lambda query: index.search(query[None], K)[1][0].tolist(), path.stat().st_size

    return build


def peers(count):
    """Builders by name: exact search, and what faiss offers."""
    lists = int(4 * count**0.5)
    looked_at = f"nprobe={lists // 10}"
    return {
        "NumPy, exact": numpy_exact,
        "faiss, IVF, a tenth of the lists": faiss_index(f"IVF{lists},Flat", looked_at),
        "faiss, HNSW": faiss_index("HNSW32,Flat", "efSearch=256"),
        "faiss, OPQ and IVF-PQ": faiss_index(f"OPQ64_256,IVF{lists},PQ64", looked_at),
    }


def measure(build, vectors, queries, truth):
    """(seconds to build, bytes, recall, median ms, 95th percentile in ms)."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        ask, size = build(vectors, folder)
        built = time.perf_counter() - start
        ask(queries[0])
        found, times = 0, []
        for query, nearest in zip(queries, truth, strict=True):
            start = time.perf_counter()
            rows = ask(query)
            times.append(1000 * (time.perf_counter() - start))
            found += len(nearest & set(rows))
    return built, size, found / (K * len(queries)), *np.percentile(times, [50, 95])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--ours", action="store_true", help="without NumPy and faiss")
    options = parser.parse_args()
    print(f"recall@{K} of {QUERIES} random queries; {options.dimension} numbers a vector\n")
    print("| rows | index | build, s | MB | recall@10 | query, ms | 95 % below, ms | peak GB |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|")
    for count in options.rows:
        random = np.random.default_rng(0)
        vectors = unit(random, count, options.dimension)
        queries = unit(random, QUERIES, options.dimension)
        truth = [set(np.argpartition(-(vectors @ query), K)[:K].tolist()) for query in queries]
        for name, build in {"keras-clip": ours, **({} if options.ours else peers(count))}.items():
            try:
                built, size, recall, median, late = measure(build, vectors, queries, truth)
            except ImportError as error:
                print(f"{name} is left out: {error}")
                continue
            # The most that the process has had so far: of the first row it is the index's own.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"| {count:,} | {name} | {built:.0f} | {size / 1e6:,.0f} | {recall:.3f} | "
                f"{median:.1f} | {late:.1f} | {peak:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
