import gzip
import hashlib
import io
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.build import parts
from trainer.config import targets
from trainer.config.check import checked
from trainer.data import _download, folder, images
from trainer.data._image import cifar
from trainer.data._image.file import pixels_of, printable
from trainer.data.tensors import Examples, TensorLoader
from trainer.errors import ConfigError, DataError
from trainer.trained.inputs import image_paths, images_like_training

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


# In memory: digits, MNIST, Fashion-MNIST, CIFAR-10


def write_idx(root, dataset="MNIST", counts=(60, 20), side=6):
    """Write the four gzipped files of a small random dataset; return their folder."""
    raw = root / dataset / "raw"
    raw.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for count, names in zip(counts, (NAMES[:2], NAMES[2:]), strict=True):
        pixels = numbers.integers(0, 256, (count, side, side), np.uint8)
        pack(raw / f"{names[0]}.gz", struct.pack(">4I", 0x803, count, side, side) + pixels.tobytes())
        pack(raw / f"{names[1]}.gz", struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count)))
    return raw


def pack(path, content):
    path.write_bytes(gzip.compress(content))


def listing(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def test_digits_are_standardised_by_the_training_images():
    splits, spec = images.digits(seed=1)
    assert spec.in_shape == (1, 8, 8)
    assert (spec.task, spec.out_features) == ("multiclass", 10)
    assert len(splits.train.targets) + len(splits.val.targets) + len(splits.test.targets) == 1797
    inputs = splits.prepare(splits.train.inputs)
    assert inputs.mean().item() == pytest.approx(0, abs=1e-4)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)
    assert splits.train.inputs.dtype == torch.uint8  # and stays as stored


def test_mnist_matches_published_facts(real_data, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in (real_data / "MNIST" / "raw").glob("*.gz"):
        (raw / packed.name).symlink_to(packed)
    splits, spec = images.mnist(root=str(tmp_path))
    counts = torch.bincount(torch.cat([splits.train.targets, splits.val.targets]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pixels = torch.cat([splits.train.inputs, splits.val.inputs]).float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)
    assert len(splits.test.targets) == 10_000
    assert spec.notes == ()  # the originals
    changed = bytearray((raw / NAMES[0]).read_bytes())
    changed[1_000_000] ^= 1
    (raw / NAMES[0]).write_bytes(changed)
    (raw / f"{NAMES[0]}.gz").unlink()
    assert images.mnist(root=str(tmp_path))[1].notes == (f"not the original MNIST: {NAMES[0]} differs",)


def test_mnist_is_unpacked_next_to_its_gzipped_files(tmp_path):
    raw = write_idx(tmp_path)
    first, spec = images.mnist(root=str(tmp_path))
    assert listing(raw) == sorted([*NAMES, *(f"{name}.gz" for name in NAMES)])
    assert "not the original MNIST" in spec.notes[0]
    for packed in raw.glob("*.gz"):
        assert gzip.decompress(packed.read_bytes()) == packed.with_suffix("").read_bytes()
        packed.unlink()
    second, _ = images.mnist(root=str(tmp_path))
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert first.train.inputs.shape == (54, 1, 6, 6)


def test_fashion_mnist_is_read_like_mnist(tmp_path):
    from torchvision.datasets import FashionMNIST

    write_idx(tmp_path)
    write_idx(tmp_path, "FashionMNIST")
    (digits, _), (clothes, spec) = images.mnist(root=str(tmp_path)), images.fashion_mnist(root=str(tmp_path))
    assert torch.equal(digits.train.inputs, clothes.train.inputs)
    assert torch.equal(digits.test.targets, clothes.test.targets)
    assert list(spec.class_names) == FashionMNIST.classes
    assert spec.notes == ()


def test_a_read_only_folder_is_read_and_left_unchanged(tmp_path):
    raw = write_idx(tmp_path)
    raw.chmod(0o555)
    before = listing(tmp_path)
    splits, _ = images.mnist(root=str(tmp_path))
    assert len(splits.train.targets) == 54
    assert listing(tmp_path) == before
    raw.chmod(0o755)


def test_a_full_disk_leaves_no_partial_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    raw = write_idx(tmp_path)
    before = listing(raw)
    monkeypatch.setattr("os.replace", full)
    splits, _ = images.mnist(root=str(tmp_path))
    assert len(splits.train.targets) == 54
    assert listing(raw) == before


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("idx_wrong_magic", "train-images-idx3-ubyte: .*magic 0x00000899 .expected 0x00000803"),
        ("idx_label_count", "1000 images and 990 labels"),
        ("idx_label_range", "train-labels-idx1-ubyte: label 37 at index 17 is not in 0..9"),
        ("mnist_not_gzip", "train-images-idx3-ubyte.gz: not a gzip file .looks like HTML"),
        ("mnist_truncated_gz", "train-images-idx3-ubyte.gz: incomplete .*5,000,000 bytes.*original f68b3c2d"),
        ("mnist_missing_file", "MNIST/raw/t10k-labels-idx1-ubyte: not found"),
    ],
)
def test_broken_mnist_files_are_refused_and_leave_no_partial_file(real_data, tmp_path, case, message):
    shutil.copytree(real_data / "bad" / case, tmp_path / case, copy_function=shutil.copyfile)
    for path in (tmp_path / case).rglob("*"):
        path.chmod(0o755)
    before = set(listing(tmp_path / case))
    with pytest.raises(DataError, match=message) as error:
        images.mnist(root=str(tmp_path / case))
    assert "\n" not in str(error.value)
    assert set(listing(tmp_path / case)) <= before | {f"MNIST/raw/{name}" for name in NAMES[1:]}


HUGE = struct.pack(">4I", 0x803, 2_000_000_000, 28, 28) + bytes(1000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HUGE, r"\(2000000000, 28, 28\), which is 1,568,000,000,000 bytes, and not as many follow"),
        (struct.pack(">4I", 0x803, 60, 6, 6) + bytes(2159), "2,160 bytes, and 2,159 follow"),
        (struct.pack(">4I", 0x803, 60, 6, 6) + bytes(100_000_000), "2,160 bytes, and more follow"),
        (struct.pack(">4I", 0x803, 0, 6, 6), r"\(0, 6, 6\)"),
        (struct.pack(">4I", 0x803, 60, 6, 7) + bytes(60 * 42), r"images of \(6, 7\) in train, \(6, 6\) in t10k"),
        (struct.pack(">2I", 0x803, 60), "not the IDX file"),
        (b"", "empty"),
        (b"<!DOCTYPE html>", "looks like HTML"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_header_that_claims_too_much_allocates_nothing(tmp_path, content, message, packed):
    import tracemalloc

    raw = write_idx(tmp_path)
    (raw / f"{NAMES[0]}.gz").unlink()
    if packed:
        pack(raw / f"{NAMES[0]}.gz", content)
    else:
        (raw / NAMES[0]).write_bytes(content)
    del content
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        images.mnist(root=str(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6  # torchvision is imported to name the original; not the 100 MB, nor the 1.5 TB


def test_an_unpacked_file_that_differs_from_its_gzipped_one_is_refused(tmp_path):
    raw = write_idx(tmp_path)
    images.mnist(root=str(tmp_path))
    changed = bytearray((raw / NAMES[0]).read_bytes())
    changed[500] ^= 1
    (raw / NAMES[0]).write_bytes(changed)
    with pytest.raises(DataError, match=r"not what train-images-idx3-ubyte.gz beside it holds"):
        images.mnist(root=str(tmp_path))


# Downloads


@pytest.fixture
def no_network(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("mnist", r"MNIST is not in .*MNIST.raw and could not be downloaded.*train-images-idx3-ubyte.gz.*data.root="),
        ("fashion_mnist", r"FashionMNIST is not in .*FashionMNIST.raw .*Network is unreachable.*train-labels.*"),
        ("cifar10", "CIFAR10 is not in .*cifar-10-python.tar.gz, or the folder cifar-10-batches-py.*data=digits"),
    ],
)
def test_a_missing_dataset_says_which_files_to_put_where_and_leaves_nothing(tmp_path, no_network, dataset, message):
    start = time.monotonic()
    for root in (tmp_path, tmp_path / "new"):
        with pytest.raises(DataError, match=message):
            getattr(images, dataset)(root=str(root))
    assert time.monotonic() - start < 30
    assert listing(tmp_path) == []


@pytest.fixture
def served(tmp_path_factory, monkeypatch):
    """Serve a folder, from which MNIST is then downloaded; yield it."""
    folder, ended = tmp_path_factory.mktemp("served"), threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def copyfile(self, source, target):
            content = source.read()
            target.write(content.removesuffix(b"STUCK"))
            if content.endswith(b"STUCK"):
                ended.wait(10)

        def log_message(self, *_):
            pass

    write_idx(folder)
    for file in (folder / "MNIST" / "raw").iterdir():
        file.rename(folder / file.name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mirrors = tuple(f"http://127.0.0.1:{server.server_port}/{place}" for place in ("missing/", ""))
    sums = [(f"{name}.gz", hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest()) for name in NAMES]
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", mirrors)
    monkeypatch.setattr("torchvision.datasets.MNIST.resources", sums)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield folder
    ended.set()
    server.shutdown()
    server.server_close()


def test_a_stalled_download_times_out_and_leaves_nothing(tmp_path, monkeypatch, served):
    (served / f"{NAMES[2]}.gz").write_bytes(b"halfSTUCK")
    monkeypatch.setattr(_download, "PATIENCE_S", 0.5)
    with pytest.raises(DataError, match=r"no data received for 0.5 s"):
        images.mnist(root=str(tmp_path / "data"))
    assert listing(tmp_path) == []


def test_a_download_is_installed_and_read(tmp_path, served):
    splits, _ = images.mnist(root=str(tmp_path / "data"))
    assert len(splits.test.targets) == 20
    assert listing(tmp_path / "data" / "MNIST" / "raw") == sorted([*NAMES, *(f"{name}.gz" for name in NAMES)])
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_download_with_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path, served):
    with (served / f"{NAMES[1]}.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match=rf"MNIST is not in .*hash.*{NAMES[1]}.gz"):
        images.mnist(root=str(tmp_path / "data"))
    assert listing(tmp_path) == []


def test_with_one_file_missing_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "download", None)
    (write_idx(tmp_path) / f"{NAMES[3]}.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: not found"):
        images.mnist(root=str(tmp_path))


@pytest.mark.parametrize(
    "target", ["_download.download", "images._download.download", "images.download", "_image.idx.read"]
)
def test_a_config_cannot_reach_code_that_writes(target):
    with pytest.raises(ConfigError):
        targets.locate("data", f"trainer.data.{target}")


# CIFAR-10


def as_python_2(content):
    """Pickle like Python 2, whose strings are bytes."""

    class Pickler(pickle._Pickler):
        dispatch = pickle._Pickler.dispatch | {
            bytes: lambda self, text: self.write(b"T" + struct.pack("<i", len(text)) + text)
        }

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core.", b"numpy.core.")


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """Return a data.root with a small CIFAR-10 whose checksums are accepted."""
    root = tmp_path / "root" / cifar.FOLDER
    root.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for name in cifar.MD5:
        pixels = numbers.integers(0, 256, (30, 3072), np.uint8)
        content = {"data": pixels, "labels": [i % 10 for i in range(30)]}
        if name == "batches.meta":
            content = {"label_names": [f"kind {i}" for i in range(10)]}
        written = as_python_2(content)
        (root / name).write_bytes(written)
        monkeypatch.setitem(cifar.MD5, name, hashlib.md5(written).hexdigest())
    return root.parent


@pytest.fixture
def packed_cifar_root(cifar_root, monkeypatch):
    subprocess.run(["tar", "-czf", cifar.PACKED, cifar.FOLDER], cwd=cifar_root, check=True)
    shutil.rmtree(cifar_root / cifar.FOLDER)
    md5 = hashlib.md5((cifar_root / cifar.PACKED).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar, "PACKED_MD5", md5)
    return cifar_root


def test_the_checksums_are_those_of_torchvision():
    from torchvision.datasets import CIFAR10

    known = {**dict(CIFAR10.train_list), **dict(CIFAR10.test_list), CIFAR10.meta["filename"]: CIFAR10.meta["md5"]}
    assert known == cifar.MD5
    assert list(cifar.MD5)[-2:] == ["test_batch", "batches.meta"]
    assert (CIFAR10.tgz_md5, CIFAR10.filename) == (cifar.PACKED_MD5, cifar.PACKED)
    assert CIFAR10.base_folder == cifar.FOLDER


def test_cifar10_is_read(cifar_root):
    splits, spec = images.cifar10(root=str(cifar_root))
    assert splits.train.inputs.shape == (135, 3, 32, 32)
    assert (len(splits.val.targets), len(splits.test.targets)) == (15, 30)
    assert splits.train.inputs.dtype == torch.uint8
    assert spec.class_names == tuple(f"kind {i}" for i in range(10))
    test = pickle.loads((cifar_root / cifar.FOLDER / "test_batch").read_bytes(), encoding="latin1")
    assert splits.test.inputs.flatten(1).tolist() == test["data"].tolist()
    assert splits.test.targets.tolist() == test["labels"]


def test_cifar10_is_unpacked_next_to_its_archive(packed_cifar_root):
    first, _ = images.cifar10(root=str(packed_cifar_root))
    assert sorted(os.listdir(packed_cifar_root / cifar.FOLDER)) == sorted(cifar.MD5)
    (packed_cifar_root / cifar.PACKED).unlink()
    second, _ = images.cifar10(root=str(packed_cifar_root))
    assert torch.equal(first.train.inputs, second.train.inputs)


def test_an_archive_with_a_wrong_checksum_is_refused(packed_cifar_root):
    archive = packed_cifar_root / cifar.PACKED
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{cifar.PACKED}: incomplete.*expected {cifar.PACKED_MD5}"):
        images.cifar10(root=str(packed_cifar_root))
    assert listing(packed_cifar_root) == [cifar.PACKED]


class Canary:
    """Runs a command when unpickled."""

    def __reduce__(self):
        return os.system, ("touch canary",)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_an_unknown_pickle_is_not_read(cifar_root, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file = cifar_root / cifar.FOLDER / name
    file.write_bytes(pickle.dumps({"data": Canary(), "labels": [0]}))
    found = hashlib.md5(file.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=rf"{name}: .*MD5 {found}, expected {cifar.MD5[name]}"):
        images.cifar10(root=str(cifar_root))
    assert not (tmp_path / "canary").exists()
    monkeypatch.setitem(cifar.MD5, name, found)  # forged
    with pytest.raises(DataError, match=r"a pickle that names posix.system is not read"):
        images.cifar10(root=str(cifar_root))
    assert not (tmp_path / "canary").exists()


def test_a_missing_batch_is_named(cifar_root, no_network):
    (cifar_root / cifar.FOLDER / "data_batch_2").unlink()
    with pytest.raises(DataError, match=r"data_batch_2: not found, and neither is .*cifar-10-python.tar.gz"):
        images.cifar10(root=str(cifar_root))


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "cifar10"])
def test_without_a_validation_split_the_training_examples_stand_in(cifar_root, dataset):
    write_idx(cifar_root, "MNIST")
    write_idx(cifar_root, "FashionMNIST")
    splits, _ = getattr(images, dataset)(root=str(cifar_root), val_fraction=0)
    assert splits.val is splits.train
    assert splits.test is not splits.val
    assert len(splits.train.targets) == (150 if dataset == "cifar10" else 60)


# A folder of image files


def draw(path, classes=("cat", "dog", "emu"), count=10, size=(7, 5)):
    """Write random images of `size`, height and width, to a folder per class; return their folder."""
    numbers = np.random.default_rng(0)
    for name in classes:
        (path / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(numbers.integers(0, 256, (*size, 3), np.uint8)).save(path / name / f"{i}.png")
    return path


def loaders(path, *lines):
    cfg, _ = checked(["data=image_folder", f"data.path={path}", *lines])
    return parts.data(cfg, torch.device("cpu"))


def test_classes_are_the_sorted_folders_and_inputs_the_pixels_of_the_files(tmp_path):
    path = draw(tmp_path / "Größe 猫", ("b c", "Ä", "a"))
    (path / "a" / "deeper").mkdir()
    (path / "a" / "0.png").rename(path / "a" / "deeper" / "smile 😀.PNG")
    splits, spec = folder.image_folder(path=str(path), val_fraction=0, test_fraction=0)
    assert spec.class_names == ("a", "b c", "Ä")
    assert (spec.task, spec.out_features, spec.in_shape) == ("multiclass", 3, (3, 7, 5))
    files = splits.train.inputs.paths
    for file, pixels, label in zip(files, splits.train.inputs.read(range(30)), splits.train.targets, strict=True):
        assert pixels.permute(1, 2, 0).tolist() == np.asarray(Image.open(file)).tolist()
        assert f"/{spec.class_names[label]}/" in file


def test_two_classes_are_one_logit(tmp_path):
    splits, spec = folder.image_folder(path=str(draw(tmp_path, ("no", "yes"))), grey=True)
    assert (spec.task, spec.out_features, spec.in_shape) == ("binary", 1, (1, 7, 5))
    assert splits.train.targets.shape == (len(splits.train.inputs), 1)


@pytest.mark.parametrize(
    ("options", "in_shape", "notes"),
    [
        ({}, (3, 7, 5), ()),
        ({"size": 9}, (3, 9, 9), ("images of (7, 5), resized to (9, 9)",)),
        ({"size": [4, 6], "grey": True}, (1, 4, 6), ("images of (7, 5), resized to (4, 6)",)),
    ],
)
def test_images_of_one_size_keep_it_unless_another_is_set(tmp_path, options, in_shape, notes):
    splits, spec = folder.image_folder(path=str(draw(tmp_path)), **options)
    assert (spec.in_shape, spec.notes) == (in_shape, ("classes: cat 10, dog 10, emu 10", *notes))
    assert splits.train.inputs.read([0, 1]).shape == (2, *in_shape)


def test_images_of_various_sizes_are_resized(tmp_path):
    draw(tmp_path)
    Image.new("RGB", (1, 1), (255, 0, 100)).save(tmp_path / "cat" / "one pixel.png")
    assert "images of various sizes, resized to (64, 64)" in folder.image_folder(path=str(tmp_path))[1].notes
    splits, spec = folder.image_folder(path=str(tmp_path), size=3, val_fraction=0, test_fraction=0)
    assert "images of various sizes, resized to (3, 3)" in spec.notes
    at = [file.endswith("one pixel.png") for file in splits.train.inputs.paths].index(True)
    assert splits.train.inputs.read([at])[0].flatten(1).T.tolist() == [[255, 0, 100]] * 9


@pytest.mark.parametrize("value", [0, -1, 2.5, "big", [3], [3, 0], [1, 2, 3], True])
def test_an_invalid_size_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"size=.*expected the side of a square in pixels"):
        folder.image_folder(path=str(draw(tmp_path)), size=value)


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16", "I", "YCbCr", "RGBX"])
def test_images_of_any_mode_are_converted(tmp_path, mode, grey):
    suffix = "tif" if mode in ("CMYK", "YCbCr", "RGBX") else "png"
    level = 255 if mode == "1" else 200
    if mode in ("I;16", "I"):
        image = Image.fromarray(np.full((4, 4), 200 * 256, np.uint16 if mode == "I;16" else np.int32))
    else:
        image = Image.new("RGB", (4, 4), (level, level, level))
        image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    if mode == "I":
        suffix = "tif"
    image.save(tmp_path / f"image.{suffix}")
    pixels = pixels_of(str(tmp_path / f"image.{suffix}"), (5, 3), grey=grey)
    assert pixels.shape == (1 if grey else 3, 5, 3)
    assert pixels.dtype == np.uint8
    assert abs(pixels.astype(int) - level).max() <= 2


def test_transparent_parts_become_white_and_photographs_upright(tmp_path):
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert (pixels_of(str(tmp_path / "clear.png"), (2, 2), grey=True) == 255).all()
    photograph = Image.new("L", (40, 20), 0)
    photograph.paste(255, (0, 0, 20, 20))  # white on the left, stored sideways
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph.save(tmp_path / "side.jpg", exif=exif)
    upright = pixels_of(str(tmp_path / "side.jpg"), (4, 2), grey=True)[0]
    assert upright[0].min() > 200
    assert upright[-1].max() < 50


def test_a_photograph_decoded_at_a_reduced_size_matches_the_whole(tmp_path):
    waves = np.sin(np.arange(128) * np.pi / 8)  # of 16 pixels, 4 when scaled
    photograph = Image.fromarray(((waves[:, None] + waves[None] + 2) * 63).astype(np.uint8))
    photograph.save(tmp_path / "waves.jpg", quality=95)
    whole = np.asarray(photograph.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert abs(pixels_of(str(tmp_path / "waves.jpg"), (32, 32), grey=True)[0] - whole).max() <= 16


def test_folders_for_parts_are_the_parts(tmp_path):
    for part, count in [("train", 10), ("val", 2), ("test", 3), ("valid", 1)]:
        draw(tmp_path / part, count=count)
    shutil.rmtree(tmp_path / "test" / "dog")  # a part need not have all classes
    splits, spec = folder.image_folder(path=str(tmp_path))
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [30, 6, 6]
    assert splits.test.targets.tolist() == [0, 0, 0, 2, 2, 2]
    assert "ignored next to train/: valid" in spec.notes
    shutil.rmtree(tmp_path / "val")
    splits, spec = folder.image_folder(path=str(tmp_path))
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [30, 3, 6]
    assert "splits: train in train/, val in valid/, test in test/" in spec.notes
    shutil.rmtree(tmp_path / "valid")
    splits, _ = folder.image_folder(path=str(tmp_path))
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [27, 3, 6]


@pytest.mark.parametrize(
    ("given", "fractions", "note"),
    [
        ((), (0, 0), "validation and test are the training"),
        ((), (0, 0.2), "no validation"),
        ((), (0.2, 0), "no test"),
        (("test",), (0, 0.2), "no validation"),
        (("val",), (0.1, 0), "no test"),
        (("val",), (0.1, 0.2), None),
        (("val", "test"), (0, 0), None),
    ],
)
def test_a_missing_part_is_replaced_with_a_note(tmp_path, given, fractions, note):
    for part in ("train", *given):
        draw(tmp_path / part)
    val_fraction, test_fraction = fractions
    splits, _ = folder.image_folder(path=str(tmp_path), val_fraction=val_fraction, test_fraction=test_fraction)
    assert [note in line for line in splits.stand_ins] == ([True] if note else [])
    files = [set(part.inputs.paths) for part in (splits.train, splits.val, splits.test)]
    assert len(set.union(*files)) == 30 * (1 + len(given))
    if not note:
        assert sum(map(len, files)) == 30 * (1 + len(given))


def test_files_that_are_not_images_are_ignored_with_a_note(tmp_path):
    draw(tmp_path)
    for name in ("readme.txt", "cat/Thumbs.db", ".hidden", "dog/.DS_Store"):
        (tmp_path / name).write_text("no image")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    splits, spec = folder.image_folder(path=str(tmp_path))
    assert len(splits.train.targets) + len(splits.val.targets) + len(splits.test.targets) == 30
    assert spec.class_names == ("cat", "dog", "emu")
    assert spec.notes[1].startswith("ignored, not images of a class: 2 files, such as ")


def nothing(path):
    pass


def one_class(path):
    draw(path, ("cat",))


def no_class(path):
    path.mkdir()


def parts_without_classes(path):
    draw(path, ("train", "test"))


def empty_class(path):
    (draw(path) / "fox").mkdir()


def class_of_text(path):
    (draw(path) / "fox").mkdir()
    (path / "fox" / "a.txt").write_text("")


def unknown_class(path):
    draw(path / "train")
    draw(path / "test", ("cat", "dogs"))


def empty_test(path):
    draw(path / "train")
    (path / "test").mkdir()


def web_page(path):
    (draw(path) / "dog" / "3.png").write_text("<html>404</html>")


def empty_file(path):
    (draw(path) / "dog" / "3.png").write_bytes(b"")


def not_utf8(path):
    draw(path)
    with open(os.fsencode(path / "dog") + b"/\xff.png", "wb"):
        pass


def dead_link(path):
    (draw(path) / "dog" / "link.png").symlink_to("nowhere.png")


def program(path):
    (draw(path) / "dog" / "3.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) show\n")


def floats(path):
    Image.fromarray(np.zeros((7, 5), np.float32)).save(draw(path) / "dog" / "3.tif")


def cut(path):
    file = draw(path, size=(30, 30)) / "dog" / "3.png"
    file.write_bytes(file.read_bytes()[:1500])


def damaged(path):
    file = draw(path, size=(30, 30)) / "dog" / "3.png"
    content = bytearray(file.read_bytes())
    content[1000] ^= 255
    file.write_bytes(content)


def bomb(path, side=100_000):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    (draw(path) / "dog" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b""))


def smaller_bomb(path):
    bomb(path, 12_000)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (nothing, "folder: no such folder"),
        (one_class, "folder: the only class is 'cat'; expected a folder of images for each of at least two"),
        (no_class, "folder: contains no folders"),
        (parts_without_classes, "folder/train: contains no folders"),
        (empty_class, "folder/fox: no images in the folder of this class"),
        (class_of_text, "folder/fox: no images in the folder of this class"),
        (unknown_class, "folder/test/dogs: train/ has no class 'dogs'; did you mean dog"),
        (empty_test, "folder/test: contains no folders"),
        (web_page, "dog/3.png: not a PNG, JPEG, .* image, whatever its name"),
        (empty_file, "dog/3.png: not a PNG, JPEG, .* image, whatever its name"),
        (not_utf8, "dog/\N{REPLACEMENT CHARACTER}.png: not a PNG"),
        (dead_link, "dog/link.png: this image cannot be read: .*No such file"),
        (program, "dog/3.png: not a PNG"),
        (floats, "dog/3.tif: this image cannot be read: its pixels are floating-point"),
        (cut, "dog/3.png: this image cannot be read: .*truncated"),
        (damaged, "dog/3.png: this image cannot be read"),
        (bomb, "dog/3.png: this image cannot be read: .*10000000000 pixels. exceeds limit"),
        (smaller_bomb, "dog/3.png: this image cannot be read: .*144000000 pixels. exceeds limit"),
    ],
)
def test_a_broken_folder_is_refused_in_one_line_with_the_file(tmp_path, break_it, message):
    import resource

    break_it(tmp_path / "folder")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=message) as error:
        folder.image_folder(path=str(tmp_path / "folder"), val_fraction=0, test_fraction=0)
    assert "\n" not in str(error.value)
    str(error.value).encode()  # is valid Unicode
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; the bomb claims 30 GB


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: a file, not a folder"):
        folder.image_folder(path=str(tmp_path / "file"))


# Streamed


def batches(loader, epochs=(1, 2)):
    found = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        found += list(loader)
    return found


def test_batches_are_the_same_for_any_number_of_workers_and_for_data_in_memory(tmp_path):
    splits, _ = folder.image_folder(path=str(draw(tmp_path, count=12)), test_fraction=0)  # 33 for training
    options = {"prepare": splits.prepare, "shuffle": True, "seed": 3}
    in_memory = Examples(splits.train.inputs.read(range(len(splits.train.inputs))), splits.train.targets)
    expected = batches(TensorLoader(in_memory, 7, **options))
    assert len(expected) == 2 * 5
    for workers in (0, 1, 2):
        loader = splits.loader.func(splits.train, 7, workers=workers, **options)
        next(iter(loader))  # an unfinished pass has no effect
        found = batches(loader)
        for (x, y), (z, t) in zip(found, expected, strict=True):
            assert torch.equal(x, z)
            assert torch.equal(y, t)
        assert (len(loader), loader.sizes, loader.num_examples) == (5, [7, 7, 7, 7, 5], 33)
    assert torch.cat([x for x, _ in expected[:5]]).mean().item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_leaves_the_global_random_generator_unchanged(tmp_path, workers):
    splits, _ = folder.image_folder(path=str(draw(tmp_path)), workers=workers)
    before = torch.random.get_rng_state()
    batches(splits.loader(splits.train, 5, prepare=splits.prepare, shuffle=True))
    assert torch.equal(before, torch.random.get_rng_state())


def test_evaluation_keeps_the_order_and_limits_apply(tmp_path):
    data, _ = loaders(
        draw(tmp_path), "data.workers=0", "data.batch_size=4", "limit_batches=2", "data.test_fraction=0.5"
    )
    assert torch.equal(torch.cat([y for _, y in data.test]), data.test.targets)
    assert [len(y) for _, y in data.train] == [4, 4]
    assert data.train.num_examples == 8


def test_overfitting_takes_the_same_few_examples_everywhere(tmp_path):
    data, _ = loaders(draw(tmp_path), "data.workers=2", "data.batch_size=3", "overfit_batches=2")
    ways = [torch.cat([x for x, _ in loader]) for loader in data]
    assert [len(x) for x in ways] == [6, 6, 6]
    assert torch.equal(ways[1], ways[2])
    assert torch.equal(ways[0].flatten(1).sum(1).sort().values, ways[1].flatten(1).sum(1).sort().values)


def test_evaluation_batches_are_smaller_for_large_images(tmp_path):
    data, _ = loaders(draw(tmp_path, count=40), "data.batch_size=4", "data.size=512", "data.workers=0")
    assert data.val.sizes == [5, 5, 2]  # 4,000,000 numbers, of 3 x 512 x 512 each


@pytest.mark.parametrize("value", [-1, "many", 1.5])
def test_an_invalid_number_of_workers_is_refused(tmp_path, value):
    with pytest.raises(ConfigError, match="workers"):
        loaders(draw(tmp_path), f"data.workers={value}")


def test_workers_ignore_an_interrupt(tmp_path):
    splits, _ = folder.image_folder(path=str(draw(tmp_path)))
    loader = splits.loader(splits.train, 2, prepare=splits.prepare)
    passing = iter(loader)
    next(passing)
    for worker in loader.reader._iterator._workers:
        os.kill(worker.pid, signal.SIGINT)
    assert len(list(passing)) == len(loader) - 1


def test_a_dead_worker_ends_the_run_with_advice(tmp_path):
    splits, _ = folder.image_folder(path=str(draw(tmp_path)))
    loader = splits.loader(splits.train, 2, prepare=splits.prepare)
    passing = iter(loader)
    next(passing)
    handler = signal.getsignal(signal.SIGCHLD)
    os.kill(loader.reader._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"a data worker died .*data.workers=0"):
        list(passing)
    assert handler in (signal.SIG_DFL, None)  # torch's would raise from any line of the run


def test_a_folder_of_images_trains_from_the_command_line(dltrain, tmp_path):
    path = draw(tmp_path / "images", count=20)
    command = ["data=image_folder", f"data.path={path}", "model=mlp", "epochs=2", "data.batch_size=16", "device=cpu"]
    ways = [dltrain(*command, f"data.workers={workers}", "baselines=auto") for workers in (0, 2)]
    assert [way.code for way in ways] == [0, 0]
    assert ways[0].summary["test"] == ways[1].summary["test"]
    assert list(ways[0].summary["baselines"]) == ["majority class"]
    assert "multiclass, 3 classes, inputs (3, 7, 5)" in ways[0].out


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_found_broken_during_training_is_one_line(dltrain, tmp_path, workers):
    path = tmp_path / "images"
    draw(path / "train")
    damaged(path / "test")
    end = dltrain("data=image_folder", f"data.path={path}", "data.size=8", "epochs=1", f"data.workers={workers}")
    assert end.code == 3
    assert end.err.startswith(f"dltrain: error[3]: {path}/test/dog/3.png: this image cannot be read:")
    assert end.err.count("\n") == 1


def test_an_interrupt_leaves_no_process_behind(tmp_path):
    path = draw(tmp_path / "images", count=100)
    command = [sys.executable, "-m", "trainer.cli", "data=image_folder", f"data.path={path}", "epochs=100000"]
    run = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in run.stdout:
        if "1/100000" in line:
            break
    os.killpg(run.pid, signal.SIGINT)  # to all processes, as a terminal does
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors.startswith("dltrain: error[130]: interrupted in epoch ")
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_arrive_on_the_device(tmp_path):
    splits, _ = folder.image_folder(path=str(draw(tmp_path)))
    here, there = (
        splits.loader(splits.train, 5, prepare=splits.prepare, shuffle=True, device=device)
        for device in ("cpu", "cuda")
    )
    for (x, y), (z, t) in zip(batches(here), batches(there), strict=True):
        assert z.is_cuda
        assert torch.allclose(x, z.cpu(), atol=1e-6)
        assert torch.equal(y, t.cpu())


def test_names_of_files_and_classes_are_shown_without_control_characters():
    assert printable("cat\x1b]0;owned\x07/\n.png") == r"cat\x1b]0;owned\x07/\n.png"


# Folders of strangers


def test_the_size_is_that_of_upright_photographs(tmp_path):
    lying = Image.Exif()
    lying[0x0112] = 6
    for file in draw(tmp_path).glob("*/*.png"):
        with Image.open(file) as image:
            image.save(file.with_suffix(".jpg"), exif=lying)
        file.unlink()
    assert folder.image_folder(path=str(tmp_path))[1].in_shape == (3, 5, 7)  # stored as 7 high and 5 wide


@pytest.mark.parametrize(
    ("levels", "kind", "depth", "brightest"),
    [
        ((0, 189), np.uint16, (0, 8), 189),
        ((0, 4095), np.uint16, (0, 12), 255),
        ((0, 65535), np.uint16, (0, 16), 255),
        ((30000, 30200), np.uint16, (30000, 8), 200),
        ((-1000, 3000), np.int32, (-1000, 12), 250),
        ((0, 2**24 - 1), np.int32, (0, 24), 255),
    ],
)
def test_images_of_16_and_32_bits_are_scaled_by_their_range(tmp_path, levels, kind, depth, brightest):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.fromarray(np.array([levels, levels], kind)).save(tmp_path / name / f"{i}.tif")
    splits, spec = folder.image_folder(path=str(tmp_path), grey=True)
    assert spec.encoder.depth == depth
    assert splits.train.inputs.read([0])[0, 0, 0].tolist() == [0, brightest]
    assert f"of 16 or 32 bits: {depth[0]:,} is black, {depth[0] + 2 ** depth[1] - 1:,} white" in spec.notes


def test_images_of_one_shade_are_said_and_nothing_but_one_shade_is_refused(tmp_path):
    draw(tmp_path, count=10)
    Image.new("RGBA", (5, 7), (9, 9, 9, 0)).save(tmp_path / "cat" / "clear.png")
    _, spec = folder.image_folder(path=str(tmp_path), val_fraction=0, test_fraction=0)
    assert any(n.startswith("training images of one shade, or wholly transparent: 1 of 31") for n in spec.notes)
    for file in tmp_path.glob("*/*.png"):
        Image.new("RGB", (5, 7), "grey").save(file)
    with pytest.raises(DataError, match="all training images have the same single shade"):
        folder.image_folder(path=str(tmp_path))


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Train", "Valid", "Test"),
        ("training", "validation", "testing"),
        ("TRAIN", "VAL", "TEST"),
        ("seg_train/seg_train", "seg_dev", "seg_test/seg_test"),
        ("train_images", "val_images", "test-set"),
        ("TrainSet", "ValSet", "TestSet"),
    ],
)
def test_splits_have_any_usual_name(tmp_path, train, val, test):
    for name, count in ((train, 10), (val, 2), (test, 3)):
        draw(tmp_path / name, count=count)
    splits, spec = folder.image_folder(path=str(tmp_path))
    assert spec.class_names == ("cat", "dog", "emu")
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [30, 6, 9]
    assert any(note.startswith("splits: train in ") for note in spec.notes)


def test_a_class_may_be_called_train(tmp_path):
    assert folder.image_folder(path=str(draw(tmp_path, ("bus", "train"))))[1].class_names == ("bus", "train")


@pytest.mark.parametrize("names", [("2019", "2020"), ("Lernen", "Test")])
def test_folders_that_hold_the_same_folders_are_no_classes(tmp_path, names):
    for name in names:
        draw(tmp_path / name)
    with pytest.raises(DataError, match=rf"{names[0]} and {names[1]} hold the same folders, cat, dog, emu"):
        folder.image_folder(path=str(tmp_path))


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "thumbnails", "Thumbs", "masks", "small"])
def test_thumbnails_and_masks_are_skipped(tmp_path, name):
    draw(tmp_path)
    for kind in ("cat", "dog", "emu"):
        shutil.copytree(tmp_path / kind, tmp_path / kind / name)
    splits, spec = folder.image_folder(path=str(tmp_path))
    assert sum(len(part.targets) for part in (splits.train, splits.val, splits.test)) == 30
    assert any(n.startswith("skipped, thumbnails or masks of other images: 30 images in ") for n in spec.notes)


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "thumbnails", "masks"])
def test_a_folder_of_thumbnails_or_masks_is_no_class(tmp_path, name):
    draw(tmp_path, ("cat", "dog", name))
    assert folder.image_folder(path=str(tmp_path))[1].class_names == ("cat", "dog")


def test_with_and_without_a_mask_are_classes(tmp_path):
    assert folder.image_folder(path=str(draw(tmp_path, ("mask", "none"))))[1].class_names == ("mask", "none")


@pytest.mark.parametrize("deeper", ["", "unlabelled"])
def test_a_flat_test_folder_does_not_stop_training(tmp_path, deeper):
    draw(tmp_path / "train")
    draw(tmp_path / "test", ("x",), count=6)
    (tmp_path / "test" / "x").rename(tmp_path / "all")
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "test").mkdir()
    (tmp_path / "all").rename(tmp_path / "test" / (deeper or "x"))
    if not deeper:
        for file in (tmp_path / "test" / "x").iterdir():
            file.rename(tmp_path / "test" / file.name)
        (tmp_path / "test" / "x").rmdir()
    splits, spec = folder.image_folder(path=str(tmp_path))
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [21, 3, 6]
    assert f"left out: 6 images without classes in {tmp_path}/test; predict reads them" in spec.notes


def test_a_folder_without_classes_is_refused_with_the_cure(tmp_path):
    draw(tmp_path / "data" / "pets")
    with pytest.raises(DataError, match=r"the only class is 'pets'.*data.path=.*/data/pets makes classes"):
        folder.image_folder(path=str(tmp_path / "data"))
    with pytest.raises(DataError, match=r"contains no folders, but 10 images; .*dltrain predict input=.*/cat"):
        folder.image_folder(path=str(tmp_path / "data" / "pets" / "cat"))
    (tmp_path / "pets.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"a file, not a folder; a zip archive; unpack it first: unzip .*pets.zip"):
        folder.image_folder(path=str(tmp_path / "pets.zip"))
    with pytest.raises(DataError, match=r"a URL; download it first: curl -LO https://a.org/pets"):
        folder.image_folder(path="https://a.org/pets")


def test_a_path_that_looks_like_a_number_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("2024", "1e3"):
        draw(tmp_path / name)
        cfg, _ = checked(["data=image_folder", f"data.path={name}"])
        assert cfg.data.path == name
        assert len(parts.data(cfg, torch.device("cpu"))[0].train.targets) == 21


def test_splits_inside_classes_are_refused_with_where_they_belong(tmp_path):
    for name in ("cat", "dog", "emu", "fox"):
        draw(tmp_path / name, ("train", "test"))
    with pytest.raises(DataError, match=rf"inside a class; move them to {tmp_path}/test/cat/ and {tmp_path}/train/cat"):
        folder.image_folder(path=str(tmp_path))


def test_all_broken_images_are_named_at_once(tmp_path):
    draw(tmp_path)
    files = [tmp_path / "dog" / f"{number}.png" for number in (2, 3, 5)]
    for file in files:
        file.write_text("<html>404</html>")
    such = rf"dog/2.png: not a .*; and 2 others; replace or remove them: rm {' '.join(map(str, files))}$"
    with pytest.raises(DataError, match=such):
        folder.image_folder(path=str(tmp_path))


def is_read(path):
    try:
        pixels_of(str(path), None, grey=False)
    except DataError:
        return False
    return True


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "webp", "tif", "ppm"])
def test_all_images_that_end_early_are_named_before_any_pixel_is_read(tmp_path, monkeypatch, kind):
    draw(tmp_path, count=14, size=(40, 40))
    for file in sorted(tmp_path.glob("*/*.png")):
        Image.open(file).save(file.with_suffix(f".{kind}"))
        if kind != "png":
            file.unlink()
    folder.image_folder(path=str(tmp_path))  # whole ones are read
    files = sorted(tmp_path.glob(f"*/*.{kind}"))
    for share in (0.97, 0.6):
        for file in files[2:14]:
            file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    broken = [file for file in files if not is_read(file)]
    assert len(broken) == 12
    monkeypatch.setattr("trainer.data.folder.pixels_of", None)
    named = " ".join(map(str, broken[:10]))
    with pytest.raises(DataError, match=rf"and 11 others; replace or remove them, 10 of 12: rm {named}$") as refusal:
        folder.image_folder(path=str(tmp_path))
    subprocess.run(str(refusal.value).rpartition(": ")[2], shell=True, check=True)
    assert not any(file.exists() for file in broken[:10])


def test_broken_images_among_new_ones_are_named_at_once(tmp_path):
    draw(tmp_path / "train", size=(30, 30))
    encoder = folder.image_folder(path=str(tmp_path / "train"))[1].encoder
    for name in ("cat", "dog"):
        cut(tmp_path / "test" / name)
    broken = sorted(map(str, tmp_path.glob("test/*/dog/3.png")))
    such = f"{broken[0]}: this image cannot be read: .*; and another; replace or remove them: rm {' '.join(broken)}$"
    with pytest.raises(DataError, match=such):
        [*images_like_training(image_paths([str(tmp_path / "test")])[0], encoder, [])]
    with pytest.raises(DataError, match=such):
        folder.other_folder(str(tmp_path / "test"), encoder, ["cat", "dog"])


def test_damaged_images_whose_files_are_whole_are_named_at_once(tmp_path):
    draw(tmp_path, count=70, size=(30, 30))
    files = sorted(tmp_path.glob("dog/*.png"))
    for file in (files[1], files[60]):
        content = bytearray(file.read_bytes())
        content[1000] ^= 255
        file.write_bytes(content)
    with pytest.raises(DataError, match=rf"and another; replace or remove them: rm {files[1]} {files[60]}$"):
        folder.image_folder(path=str(tmp_path), val_fraction=0, test_fraction=0)


def test_images_that_are_not_read_are_said(tmp_path):
    draw(tmp_path, ("cat", "Cat", "dog"))
    (tmp_path / "cat" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    notes = folder.image_folder(path=str(tmp_path))[1].notes
    left = f"formats that are not read: 1, such as {tmp_path}/cat/phone.HEIC; convert them to .jpg or .png"
    assert any(left in note for note in notes)
    assert "labels that differ in case alone: 'Cat', 'cat'" in notes
    assert left in image_paths([str(tmp_path)])[1][0]


def test_the_cure_for_one_class_leads_to_the_classes(tmp_path):
    draw(tmp_path / "unpacked" / "photos" / "all")
    with pytest.raises(DataError, match=rf"the only class is 'unpacked'.* data.path={tmp_path}/unpacked/photos/all "):
        folder.image_folder(path=str(tmp_path))
    draw(tmp_path / "hands", ("Thumbs", "fist"))
    with pytest.raises(DataError, match=rf"the only class is 'fist'; skipped by its name: {tmp_path}/hands/Thumbs"):
        folder.image_folder(path=str(tmp_path / "hands"))
