"""Archives: by name from a host that misbehaves, and what is not unpacked."""

import hashlib
import io
import stat
import tarfile
import zipfile

import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench import downloads
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import Small, assert_same
from test_pikachu import host, names, no_proxy  # noqa: F401  (fixtures)


def tar(*members):
    """The bytes of a .tar; a member is (name, bytes) or a TarInfo."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                out.addfile(one)
            else:
                info = tarfile.TarInfo(one[0])
                info.size = len(one[1])
                out.addfile(info, io.BytesIO(one[1]))
    return file.getvalue()


def zipped(*members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, data in members:
            out.writestr(name, data)
    return file.getvalue()


@pytest.fixture
def registry(host, monkeypatch):  # noqa: F811
    """Let the names stand for small archives on the local host."""
    def add(name, file, data):
        host.files[f"/{file}"] = data
        monkeypatch.setitem(downloads.ARCHIVES, name, downloads.Archive(
            host.url + file, hashlib.sha256(data).hexdigest(), len(data)))
    add("voc2007-trainval", "a.tar", tar(("VOCdevkit/a.txt", b"a" * 300_000)))
    add("voc2007-test", "b.tar", tar(("VOCdevkit/b.txt", b"b")))
    host.ranges.clear()
    return add


def test_a_group_is_fetched_and_unpacked_once(registry, host,  # noqa: F811
                                              tmp_path):
    steps = []
    done = downloads.download("voc2007", tmp_path,
                             progress=lambda *step: steps.append(step))
    assert done == ["voc2007-trainval", "voc2007-test"]
    assert names(tmp_path) == [".unpacked", "VOCdevkit"]
    assert (tmp_path / "VOCdevkit/a.txt").read_bytes() == b"a" * 300_000
    assert steps[0][0] == "voc2007-trainval" and steps[-1][1] == steps[-1][2]
    assert len(host.ranges) == 2
    downloads.download("voc2007", tmp_path)
    assert len(host.ranges) == 2                # nothing is fetched again
    downloads.download("voc2007-test", tmp_path / "other", keep=True)
    assert "b.tar" in names(tmp_path / "other")


def test_a_cut_is_resumed(registry, host, tmp_path):  # noqa: F811
    host.behave = "cuts"
    with pytest.raises(ConnectionError, match="cut.*goes on from there"):
        downloads.download("voc2007-trainval", tmp_path)
    assert names(tmp_path) == ["a.tar.part"]
    host.behave = "well"
    downloads.download("voc2007-trainval", tmp_path)
    assert host.ranges[-1].startswith("bytes=")
    assert (tmp_path / "VOCdevkit/a.txt").is_file()


@pytest.mark.parametrize("behave, words", [
    ("silent", "no answer came in time"), ("stalls", "no answer came in time")])
def test_time_out(registry, host, tmp_path, behave, words):  # noqa: F811
    host.behave = behave
    with pytest.raises(ConnectionError, match=words):
        downloads.download("voc2007-test", tmp_path, timeout=.3)


def test_wrong_checksum_and_not_found(registry, host, tmp_path):  # noqa: F811
    host.files["/b.tar"] += b"x"
    with pytest.raises(ValueError, match="b.tar.*: expected SHA-256"):
        downloads.download("voc2007-test", tmp_path)
    assert names(tmp_path) == []
    del host.files["/b.tar"]
    with pytest.raises(ConnectionError, match="404 Not Found"):
        downloads.download("voc2007-test", tmp_path)
    with pytest.raises(ValueError, match="name must be one of voc2007, voc0712"
                                         ".*found 'voc2006'"):
        downloads.download("voc2006", tmp_path)


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


DANGERS = [
    ("a.tar", tar(("good", b""), ("../out", b"x")), "'../out' leaves the"),
    ("a.tar", tar(("good", b""), ("/etc/out", b"x")), "'/etc/out' leaves"),
    ("a.tar", tar(("good", b""), ("a/../../out", b"x")), "leaves the folder"),
    ("a.tar", tar(("good", b""), link("l", "/tmp")), "'l' is a link"),
    ("a.tar", tar(("good", b""), link("l", "x", tarfile.LNKTYPE)), "is a link"),
    ("a.tar", tar(("good", b""), link("f", "", tarfile.FIFOTYPE)), "a device"),
    ("a.zip", zipped(("good", b""), ("../out", b"x")), "'../out' leaves"),
    ("a.zip", zipped(("good", b""), ("..\\out", b"x")), "leaves the folder"),
    ("a.zip", zipped(("good", b""), ("C:/out", b"x")), "'C:/out' leaves"),
    ("a.tar", b"no archive", "expected a whole archive"),
    ("a.zip", b"no archive", "expected a whole archive"),
    ("a.tar", tar(("good", b"x" * 9000))[:3000], "expected a whole archive"),
]


@pytest.mark.parametrize("name, data, words", DANGERS, ids=range(len(DANGERS)))
def test_nothing_leaves_the_folder(tmp_path, name, data, words):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / name).write_bytes(data)
    with pytest.raises(ValueError, match=words.replace("\\", ".")):
        downloads.unpack_archive(inner / name, inner)
    assert names(tmp_path) == ["inner"]
    assert set(names(inner)) <= {name, "good"}
    if "whole" not in words:
        assert names(inner) == [name]          # all or nothing


def test_a_link_in_a_zip_and_one_that_is_there_already(tmp_path):
    info = zipfile.ZipInfo("l")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    (tmp_path / "a.zip").write_bytes(zipped((info, "/tmp")))
    with pytest.raises(ValueError, match="'l' is a link"):
        downloads.unpack_archive(tmp_path / "a.zip", tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "door").symlink_to(tmp_path)
    (tmp_path / "b.zip").write_bytes(zipped(("door/out", b"x")))
    with pytest.raises(ValueError, match="'door/out' leads out"):
        downloads.unpack_archive(tmp_path / "b.zip", inner)
    assert not (tmp_path / "out").exists()


def test_from_the_command_line_to_samples(registry, tmp_path, capsys):
    root = tmp_path / "made/VOCdevkit/VOC2007"
    convert(Small(), f"voc:{root}:test")
    members = [(path.relative_to(tmp_path / "made").as_posix(),
                path.read_bytes()) for path in sorted(root.rglob("*"))
               if path.is_file()]
    registry("voc2007-test", "b.tar", tar(*members))
    assert main(["data", "download", "voc2007-test", "--folder",
                 str(tmp_path / "got"), "--json"]) == 0
    assert '"archives": ["voc2007-test"]' in capsys.readouterr().out
    assert_same(addresses.open_dataset(f"voc:{tmp_path}/got:2007-test"),
                Small())


def test_the_registry_is_complete():
    assert {name for group in downloads.ARCHIVE_GROUPS.values() for name in group
            } <= set(downloads.ARCHIVES)
    for one in downloads.ARCHIVES.values():
        assert len(one.sha256) == 64 and int(one.sha256, 16)
        assert one.address.endswith((".tar", ".zip")) and one.size > 10 ** 8
    assert len({one.sha256 for one in downloads.ARCHIVES.values()}) == 10
