"""An index changes while it is used: each change is one commit, seen whole or not at all."""

import tempfile
from pathlib import Path

import plait

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "notes")
    with plait.Index.create(path) as index:
        index.add(["Buy milk and bread.", "Call the dentist on Monday."], ids=["shopping", "dentist"])

    writer, reader = plait.Index.open(path), plait.Index.open(path)
    writer.delete(["dentist"])
    writer.add(["The dentist moved the appointment to Friday."], ids=["dentist-2"])
    print("the reader's view:", [hit.id for hit in reader.search("When do I see the dentist?")])
    reader.refresh()
    print("after refresh:", [hit.id for hit in reader.search("When do I see the dentist?")])

    try:
        writer.add(["Again."], ids=["shopping"])
    except plait.PlaitError as error:
        print("refused:", error)
    writer.close()
    reader.close()
