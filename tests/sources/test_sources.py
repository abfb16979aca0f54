"""Documents and queries from files: what is understood, and what is said when it is not."""

import bz2
import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import pytest

from plait.errors import BadRecord, EmptyCorpus, MissingExtra, SourceError, SourceNotFound
from plait.sources import read_documents, read_lines, read_queries
from plait.types import Document

TWO = [{"_id": "a", "text": "one"}, {"_id": "b", "text": "two"}]


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def stdin(monkeypatch):
    def feed(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return feed


# ---- what is understood ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c.jsonl", "c.ndjson", "c.json"])
def test_json_lines(write, name):
    documents = read_documents(write(name, jsonl(TWO)))
    assert list(documents) == [Document("a", "one"), Document("b", "two")]
    assert list(documents) == [Document("a", "one"), Document("b", "two")], "it can be read again"
    assert (documents.skipped, documents.numbered) == (0, False)


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files(write, suffix, pack):
    path = write(f"c.jsonl.{suffix}", pack(jsonl(TWO).encode()))
    assert [document.text for document in read_documents(path)] == ["one", "two"]


@pytest.mark.parametrize(
    ("record", "document"),
    [
        ({"_id": "a", "text": "t"}, Document("a", "t")),
        ({"id": "a", "contents": "t"}, Document("a", "t")),
        ({"docid": "a", "body": "t"}, Document("a", "t")),
        ({"id": 7, "text": "t"}, Document("7", "t")),
        ({"_id": "a", "title": "T", "text": "t"}, Document("a", "T t", {"title": "T"})),
        ({"_id": "a", "title": "", "text": "t"}, Document("a", "t")),
        ({"_id": "a", "title": None, "text": "t"}, Document("a", "t")),
        ({"_id": "a", "title": "T", "text": ""}, Document("a", "T", {"title": "T"})),
        ({"_id": "a", "text": "t", "lang": "en", "n": [1]}, Document("a", "t", {"lang": "en", "n": [1]})),
        ({"_id": "a", "text": "t", "metadata": {"x": 1}, "y": 2}, Document("a", "t", {"x": 1, "y": 2})),
        ({"_id": "a", "text": "t", "metadata": {}}, Document("a", "t")),
        ({"_id": "a", "id": "b", "text": "t"}, Document("a", "t", {"id": "b"})),
        ({"_id": "a", "text": "grüße\u2028日本\x00"}, Document("a", "grüße\u2028日本\x00")),
    ],
)
def test_fields(write, record, document):
    assert list(read_documents(write("c.jsonl", jsonl([record])))) == [document]


def test_blank_lines_byte_order_mark_and_windows_line_ends(write):
    path = write(
        "c.jsonl", b"\xef\xbb\xbf" + b'{"_id": "a", "text": "one"}\r\n\r\n  \n{"_id": "b", "text": "two"}'
    )
    assert [document.id for document in read_documents(path)] == ["a", "b"]


def test_records_without_ids_are_numbered(write):
    documents = read_documents(write("c.jsonl", '{"text": "x"}\n{"text": "y"}\n'))
    assert [document.id for document in documents] == ["0", "1"]
    assert documents.numbered


def test_csv(write):
    rows = 'id,text,lang\r\na,"one, ""quoted"",\nover two lines",en\r\n\r\nb,two,de\r\n'
    assert list(read_documents(write("c.csv", rows))) == [
        Document("a", 'one, "quoted",\nover two lines', {"lang": "en"}),
        Document("b", "two", {"lang": "de"}),
    ]


def test_csv_with_a_very_long_text(write):
    text = "word " * 60_000
    (document,) = read_documents(write("c.csv", f"id,text\na,{text}\n"))
    assert document.text == text


def test_tsv_quotes_are_text(write):
    rows = 'docid\ttitle\tbody\na\t\tsay "hi\nb\tT\tplain\n'
    assert list(read_documents(write("c.tsv", rows))) == [
        Document("a", 'say "hi'),
        Document("b", "T plain", {"title": "T"}),
    ]


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ("0\tthe first\n1\tthe second\n", ["0", "1"]),
        ("\ufeff7\ttext\n9\tthe second\n", ["7", "9"]),
        ("p-1\tthe first\np-2\tthe second\n", ["p-1", "p-2"]),
    ],
)
def test_tsv_of_ids_and_texts_without_a_header(write, content, ids):
    documents = list(read_documents(write("collection.tsv", content)))
    assert [document.id for document in documents] == ids
    assert documents[1] == Document(ids[1], "the second")


def test_folder_of_pages(write, tmp_path):
    write("pages/b.txt", "the b")
    write("pages/a/deep.md", "# deep")
    write("pages/.hidden/x.txt", "no")
    write("pages/.hidden.txt", "no")
    write("pages/picture.png", b"\x89PNG")
    assert list(read_documents(tmp_path / "pages")) == [
        Document("a/deep.md", "# deep"),
        Document("b.txt", "the b"),
    ]


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir_folder(write, tmp_path, name):
    content = jsonl(TWO).encode()
    write(f"beir/{name}", gzip.compress(content) if name.endswith("gz") else content)
    write("beir/queries.jsonl", jsonl([{"_id": "q1", "text": "what"}]))
    write("beir/README.md", "not a document")
    assert [document.id for document in read_documents(str(tmp_path / "beir"))] == ["a", "b"]
    assert read_queries(tmp_path / "beir") == {"q1": "what"}


def test_standard_input(stdin):
    stdin(jsonl(TWO).encode())
    assert [document.id for document in read_documents("-")] == ["a", "b"]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    import datetime

    day = datetime.date(2026, 1, 2)
    table = pyarrow.table({"id": [1, 2], "text": ["one", "two"], "day": [day, None], "tags": [["x"], []]})
    parquet.write_table(table, tmp_path / "c.parquet")
    assert list(read_documents(tmp_path / "c.parquet")) == [
        Document("1", "one", {"day": "2026-01-02", "tags": ["x"]}),
        Document("2", "two", {"day": None, "tags": []}),
    ]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(SourceError, match=r"broken\.parquet: not a readable Parquet file"):
        list(read_documents(tmp_path / "broken.parquet"))


def test_parquet_without_pyarrow(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'plait\[parquet\]'"):
        read_documents(write("c.parquet", b"PAR1"))


# ---- what is refused, and how ----------------------------------------------------------------------------

GOOD = '{"_id": "a", "text": "fine"}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"_id": "b", "text": ', "not valid JSON: .* at column "),
        ('["b", "text"]', "each line must be one JSON object, and this one is a list"),
        ('"text"', "this one is a string"),
        (
            '{"_id": "b", "passage": "x"}',
            "no text: expected is text, contents, body, and there is _id, passage",
        ),
        ('{"_id": "b", "text": ""}', "the text is empty"),
        ('{"_id": "b", "title": " ", "text": " \\n"}', "the text is empty"),
        ('{"_id": "b", "text": null}', "text must be a string, not null"),
        ('{"_id": "b", "text": ["x"]}', "text must be a string, not a list"),
        ('{"_id": "b", "text": 3}', "text must be a string, not a number"),
        ('{"_id": "b", "title": 3, "text": "x"}', "the title must be a string, not a number"),
        ('{"_id": true, "text": "x"}', "_id must be a string or an integer, not a boolean"),
        ('{"_id": 1.5, "text": "x"}', "_id must be a string or an integer, not a number"),
        ('{"_id": null, "text": "x"}', "_id must be a string or an integer, not null"),
        ('{"_id": " ", "text": "x"}', "_id is empty"),
        ('{"_id": "a", "text": "x"}', r"the id 'a' was used before \(.*c\.jsonl, line 1\)"),
        ('{"text": "x"}', "the record has no id, but those before it have one"),
        ('{"_id": "b", "text": "x", "n": NaN}', "NaN is not JSON"),
        ('{"_id": "b", "text": "\\ud800"}', "the text is not valid UTF-8"),
        ('{"_id": "\\ud800", "text": "x"}', "_id is not valid UTF-8"),
        ('{"_id": "b", "text": "x", "m": "\\ud800"}', "the metadata is not valid UTF-8"),
        ('{"_id": "b", "text": "x", "m": ' + "[" * 100_000, "not usable JSON"),
        ('{"_id": "b", "text": "x", "m": ' + "9" * 5000 + "}", "not usable JSON"),
        (b'{"_id": "b", "text": "gr\xfc\xdfe"}', "not UTF-8: byte 0xfc at byte 25 of the line"),
    ],
)
def test_bad_record_names_file_and_line_and_can_be_skipped(write, line, reason):
    line = line if isinstance(line, bytes) else line.encode()
    path = write("c.jsonl", GOOD.encode() + b"\n" + line + b'\n{"_id": "z", "text": "last"}\n')
    with pytest.raises(BadRecord, match=reason) as caught:
        list(read_documents(path))
    assert (caught.value.path, caught.value.line) == (str(path), 2)
    assert str(caught.value).startswith(f"{path}, line 2: ")

    documents = read_documents(path, skip_bad_lines=True)
    assert [document.id for document in documents] == ["a", "z"]
    assert documents.skipped == 1
    assert str(documents.first_skipped) == str(caught.value)
    assert len(list(documents)) == 2
    assert documents.skipped == 1, "counted for each reading"


def test_an_id_after_records_without(write):
    with pytest.raises(BadRecord, match="line 2: the record has an id, but those before it have none"):
        list(read_documents(write("c.jsonl", '{"text": "x"}\n{"_id": "1", "text": "y"}\n')))


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        (
            "c.csv",
            "id,passage\na,one\n",
            1,
            "header with one of text, contents, body, and it holds 'id', 'passage'",
        ),
        ("c.tsv", "0\tthe first passage\ta title\n", 1, "the first line must be a header"),
        ("c.tsv", "id\tpassage\n0\tthe first\n", 1, "the first line must be a header"),
        ("c.csv", "0,the first passage\n", 1, "the first line must be a header"),
        ("c.tsv", "0\tthe first\n1\ta\tb\n", 2, "3 fields, but the first line has 2"),
        ("c.csv", "id,text,text\na,b,c\n", 1, "names a column twice"),
        ("c.csv", 'id,text\na,"one\ntwo"\nb\n', 4, "1 fields, but the first line has 2"),
        ("c.csv", "id,text\na,b,c\n", 2, "3 fields, but the first line has 2"),
        ("c.csv", 'id,text\na,"x"y\n', 2, "not a readable row"),
        ("c.csv", 'id,text\na,"never closed\n', 2, "not a readable row"),
        ("c.csv", b"id,text\na,gr\xfc\xdfe\n", 2, "the text is not valid UTF-8"),
        ("c.csv", "id,text\na,\n", 2, "the text is empty"),
    ],
)
def test_bad_tables(write, name, content, line, reason):
    path = write(name, content)
    with pytest.raises(BadRecord, match=reason) as caught:
        list(read_documents(path))
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_bad_row_of_a_table_is_skipped(write):
    path = write("c.csv", b'id,text\na,"x"y\nb,gr\xfc\xdfe\nc,three\nd\n')
    documents = read_documents(path, skip_bad_lines=True)
    assert [document.id for document in documents] == ["c"]
    assert documents.skipped == 3


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_damaged_compression_is_never_skipped(write, suffix, pack):
    packed = pack(jsonl([{"text": f"{n * n} words"} for n in range(2000)]).encode())
    path = write(f"cut.jsonl.{suffix}", packed[: len(packed) // 2])
    with pytest.raises(BadRecord, match="compressed file is damaged"):
        list(read_documents(path, skip_bad_lines=True))
    path = write(f"not.jsonl.{suffix}", b'{"text": "plain"}')
    with pytest.raises(BadRecord, match="damaged"):
        list(read_documents(path))


def test_sources_that_are_not_there_or_unknown(write, tmp_path):
    with pytest.raises(SourceNotFound, match="no such file or folder"):
        read_documents(tmp_path / "nothing.jsonl")
    with pytest.raises(SourceError, match=r"\.pdf: an unknown kind of file; expected is \.jsonl"):
        read_documents(write("c.pdf", "x"))
    with pytest.raises(SourceNotFound):
        read_queries(tmp_path / "nothing.tsv")
    with pytest.raises(SourceError, match="unknown kind of query file"):
        read_queries(write("q.csv", "x"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFound, match=r"holds no queries\.jsonl"):
        read_queries(tmp_path / "empty")


def test_sources_without_documents(write, tmp_path):
    with pytest.raises(EmptyCorpus, match=r"c\.jsonl holds no document$"):
        list(read_documents(write("c.jsonl", "\n\n")))
    with pytest.raises(EmptyCorpus, match="holds no document"):
        list(read_documents(write("c.csv", "")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyCorpus, match=r"no corpus\.jsonl and no \.txt or \.md"):
        list(read_documents(tmp_path / "empty"))
    with pytest.raises(
        EmptyCorpus, match=r"records that can't be used: 1, the first: .*line 1: not valid JSON"
    ):
        list(read_documents(write("c.jsonl", "{\n"), skip_bad_lines=True))


def test_page_that_is_not_text(write, tmp_path):
    write("pages/a.txt", b"\xff\xfe")
    with pytest.raises(BadRecord, match=r"a\.txt, line 1: the file is not UTF-8"):
        list(read_documents(tmp_path / "pages"))


# ---- queries ---------------------------------------------------------------------------------------------


def test_queries(write, stdin):
    assert read_queries(write("q.jsonl", '{"_id": 3, "text": "x"}\n{"_id": "1", "text": "y"}\n')) == {
        "3": "x",
        "1": "y",
    }
    assert read_queries(write("q.tsv", "10\twhat is it\n2\ta\tb\n")) == {"10": "what is it", "2": "a\tb"}
    stdin(b'{"id": "1", "text": "y"}\n')
    assert read_queries("-") == {"1": "y"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("q.jsonl", '{"text": "x"}', "line 1: the query has no id"),
        (
            "q.jsonl",
            '{"_id": "1", "text": "x"}\n{"_id": "1", "text": "y"}',
            "line 2: the query id '1' was used before",
        ),
        ("q.jsonl", '{"_id": "1", "text": ""}', "the text is empty"),
        ("q.jsonl", "nonsense", "not valid JSON"),
        ("q.tsv", "what is it\n", r"expected is id<TAB>text"),
    ],
)
def test_bad_queries(write, name, content, reason):
    with pytest.raises(BadRecord, match=reason):
        read_queries(write(name, content))


def test_no_queries(write):
    with pytest.raises(EmptyCorpus, match="holds no query"):
        read_queries(write("q.tsv", "\n"))


def test_read_lines(write):
    assert list(read_lines(write("a.txt", "one\n\ntwo \r\n"))) == [(1, "one"), (3, "two ")]
    with pytest.raises(BadRecord, match="line 1: not UTF-8"):
        list(read_lines(write("b.txt", b"\xff")))
    with pytest.raises(SourceNotFound):
        list(read_lines(Path("nothing.txt")))
