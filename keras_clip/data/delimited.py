"""Tables of text: columns between commas, semicolons or tabs."""

import csv

from keras_clip.data.table_file import TableFile

_DELIMITERS = {".csv": ",;\t", ".tsv": "\t;,"}


def delimited_table(path, suffix, suits):
    """Open a CSV or TSV file: a TableFile, whose rows are numbered by their last line.

    Args:
        path: str.
        suffix: str, `.csv` or `.tsv`, which says what delimiter is tried first.
        suits: function from a header to whether it is one; the first delimiter that gives such is
            taken, or the one that gives the most columns.

    Raises:
        ValueError: the header is no text in UTF-8, or has an open quote.
    """
    delimiter, header = _header(path, _DELIMITERS[suffix], suits)

    def rows(names):
        places = [header.index(name) for name in names]
        table = _lines(path, delimiter)
        next(table)
        for line, fields in table:
            if len(fields) != len(header):
                counts = f"{len(fields)} values for {len(header)} columns"
                raise ValueError(f"{path}, row {line}: {counts}.")
            yield line, [fields[place] for place in places]

    return TableFile(header, rows)


def _header(path, delimiters, suits):
    """The delimiter and the header."""
    headers, errors = {}, []
    for one in delimiters:
        try:
            headers[one] = next(_lines(path, one), (0, []))[1]
        except ValueError as error:  # quotes that only another delimiter explains
            errors.append(error)
    if errors and max(map(len, headers.values()), default=0) < 2:
        raise errors[0]
    fitting = [one for one, header in headers.items() if suits(header)]
    delimiter = fitting[0] if fitting else max(headers, key=lambda one: len(headers[one]))
    return delimiter, headers[delimiter]


def _lines(path, delimiter):
    """(line, fields) of every row that is not blank."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader, first = csv.reader(file, delimiter=delimiter, strict=True), 1
        try:
            for fields in reader:
                if any("\0" in field for field in fields):
                    raise csv.Error("it has a NUL character")
                if fields:
                    yield reader.line_num, fields
                first = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            reason = str(error)
            if reason == "unexpected end of data":
                reason = "a quote is opened and never closed"
            raise ValueError(f"{path}, row {first}: {reason}.") from error
