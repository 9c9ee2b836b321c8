"""The command line: parse, call one function, print."""

import json
import os
import sys

from keras_clip.backend import choose_backend_or_exit
from keras_clip.command.arguments import build_parser
from keras_clip.command.column_arguments import columns
from keras_clip.command.messages import told
from keras_clip.command.parser import PRESET


def main(arguments=None):
    """Run the command line.

    Args:
        arguments: list of str; None: those of the process.

    Returns:
        int: the exit code, 0 or 1. Wrong use leaves by SystemExit with code 2.
    """
    options = build_parser(_RUNS).parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else TensorFlow greets on every start
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("keras-clip: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("KERAS_CLIP_DEBUG", "0") not in ("", "0"):
            raise
        print(f"keras-clip: error: {told(error, options)}", file=sys.stderr)
        return 1


def _print(options, result, show):
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


def _list(options):
    from keras_clip.command import listing

    _print(options, listing.presets(options.family, options.sort), listing.show_presets)


def _info(options):
    from keras_clip.command import listing

    _print(options, listing.preset_info(options.name), listing.show_preset)


def _inspect(options):
    choose_backend_or_exit()
    from keras_clip.command import inspect, inspection

    asked = (options.config, options.family, options.weights, options.ignore)
    report = inspect.inspect(options.source, *asked)
    _print(options, report, lambda found: inspection.show_inspected(found, options.all))


def _classify(options):
    choose_backend_or_exit()
    from keras_clip import plot
    from keras_clip.command import classify
    from keras_clip.data import open_pictures

    path = options.plot and plot.check_path(options.plot)
    results = classify.classify(
        open_pictures(options.images).paths,
        options.labels, options.template, options.prompts, options.preset, options.top,
    )  # fmt: skip
    if path:
        plot.save(plot.zero_shot_bars(results), path)
    _print(options, results, classify.show_answers)


def _evaluate(options):
    asked = (options.labels, options.template, options.prompts)
    if options.captions and (any(asked) or options.plot):
        options.error("--captions goes with no labels, templates, prompts or --plot")
    choose_backend_or_exit()
    from keras_clip import plot
    from keras_clip.command import evaluate

    more = {"batch_size": options.batch_size, "columns": columns(options)}
    if options.captions:
        result = evaluate.captions(options.source, options.preset, **more)
        return _print(options, result, evaluate.show_captions)
    path = options.plot and plot.check_path(options.plot)
    result = evaluate.zero_shot(options.source, options.preset, *asked, **more)
    if path:
        plot.save(plot.confusion_matrix(result["confusion"], result["class_names"]), path)
    _print(options, result, evaluate.show_zero_shot)


def _probe(options):
    choose_backend_or_exit()
    from keras_clip.command import probe

    asked = (options.preset, options.knn, options.shots, options.save, columns(options))
    result = probe.probe(options.train, options.test, *asked)
    _print(options, result, probe.show_probe)


def _embed(options):
    from keras_clip.command import embed_arguments as given

    given.check(options)
    choose_backend_or_exit()
    from keras_clip.command import embed

    named, job = columns(options), given.job(options)
    if given.is_file(options):
        result = embed.embed_file(
            options.output, options.preset, options.sources, options.texts, named,
            options.dtype, options.batch_size,
        )  # fmt: skip
        _print(options, result, embed.show_file)
    else:
        result = embed.embed_directory(
            options.output, options.preset, options.sources, named, job, options.workers,
            given.ray(options), options.dry_run,
        )  # fmt: skip
        _print(options, result, embed.show_plan if options.dry_run else embed.show_directory)


def _train(options):
    choose_backend_or_exit()
    from keras_clip.command import train

    result = train.train(
        options.recipe, options.output, options.dry_run, options.steps, options.overrides
    )
    _print(options, result, train.show_trained)


def _finetune(options):
    choose_backend_or_exit()
    from keras_clip.command import finetune

    _print(options, finetune.finetune(options), finetune.show_finetuned)


def _convert(options):
    choose_backend_or_exit()
    from keras_clip.command import convert

    result = convert.convert(
        options.source, options.target, options.layout, options.dtype, options.dry_run,
        config=options.config, family=options.family,
        load_weights=options.weights or True, ignore=options.ignore,
    )  # fmt: skip
    _print(options, result, convert.show_converted)


def _verify(options):
    choose_backend_or_exit()
    from keras_clip.command import verify

    report = verify.verify(options.source, options.tolerance, options.config, options.family)
    _print(options, report, verify.show_report)
    return 0 if report["passed"] else 1


def _where(options):
    choose_backend_or_exit()
    from keras_clip.command import where

    result = where.where(
        options.image, options.texts, options.preset, options.image_size, options.plot
    )
    _print(options, result, where.show_where)


def _app(options):
    choose_backend_or_exit()
    from keras_clip.app import serve

    preset = options.preset or (None if options.index else PRESET)
    page = serve(preset, options.index, options.port, options.image_size)
    _print(options, {"url": page.local_url}, lambda said: print(f"{said['url']} (Ctrl+C ends it)"))
    sys.stdout.flush()  # whoever started this waits for the address
    page.block_thread()


def _demo(options):
    choose_backend_or_exit()
    from keras_clip import plot
    from keras_clip.command import demo

    path = options.plot and plot.check_path(options.plot)
    result = demo.demo(options.preset)
    if path:
        truths = [answer["truth"] for answer in result["answers"]]
        plot.save(plot.zero_shot_bars(result["answers"], truths), path)
    _print(options, result, demo.show_demo)


def _index(options):
    choose_backend_or_exit()
    from keras_clip.command import index

    result = index.index(
        options.source, options.output, options.preset, options.batch_size, options.dry_run,
        columns(options),
    )  # fmt: skip
    _print(options, result, lambda found: index.show_indexed(found, options.dry_run))


def _search(options):
    if not (options.texts or options.image):
        options.error("give a TEXT or an --image to look for")
    choose_backend_or_exit()
    from keras_clip import plot
    from keras_clip.command import search

    path = options.plot and plot.check_path(options.plot)
    query = search.Query(options.texts, options.image, options.minus, options.weights)
    result = search.search(options.index, query, options.k, options.where, options.preset)
    if path:
        search.draw(result, path)
    if options.html:
        search.write_page(result, options.html)
    _print(options, result, search.show_found)


def _duplicates(options):
    choose_backend_or_exit()
    from keras_clip.command import search

    result = search.duplicates(options.index, options.above, options.where)
    _print(options, result, search.show_duplicates)


_RUNS = {
    "list": _list, "info": _info, "inspect": _inspect, "classify": _classify,
    "evaluate": _evaluate, "probe": _probe, "embed": _embed, "convert": _convert,
    "verify": _verify, "where": _where, "app": _app, "demo": _demo, "index": _index,
    "search": _search, "duplicates": _duplicates, "train": _train, "finetune": _finetune,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
