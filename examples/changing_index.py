"""An index changes while it is used: each change is one commit, seen whole or not at all."""

import tempfile
from pathlib import Path

import plait

QUESTION = "When do I see the dentist?"


def ids(index: plait.Index) -> list[str]:
    return [hit.id for hit in index.search(QUESTION)]


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "notes")
    with plait.Index.create(path) as index:
        index.add(["Buy milk and bread.", "Call the dentist on Monday."], ids=["shopping", "dentist"])

    writer = plait.Index.open(path)
    reader = plait.Index.open(path)  # here or in another process
    still = plait.Index.open(path, auto_refresh=False)

    with writer.transaction():  # one commit
        writer.delete(["dentist"])
        writer.add(["The dentist moved the appointment to Friday."], ids=["dentist-2"])
        print("before the commit, a reader expects the old note and finds:", ids(reader))
    print("after it, a reader expects the new note and finds:", ids(reader))
    print("a reader that does not refresh by itself finds:", ids(still))
    still.refresh()
    print("after refresh it finds:", ids(still))

    try:
        with writer.transaction():
            writer.delete(["shopping"])
            writer.add(["Again."], ids=["dentist-2"])
    except plait.PlaitError as error:
        print("refused:", error)
    print("nothing of that transaction is left, the index holds:", len(reader), "documents")
    for index in (writer, reader, still):
        index.close()
