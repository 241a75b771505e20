"""Small files that would keep torch's reader, or what is done with its result, busy for years; by name."""

import io
import pickle
import struct
import zipfile


def archive(program: bytes, values: dict[str, bytes] | None = None, folder: str = "a", packed: bool = False) -> bytes:
    """A zip file as `torch.save` writes them, around any pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr(f"{folder}/data.pkl", program)
        file.writestr(f"{folder}/byteorder", b"little")
        for name, content in (values or {"0": bytes(16)}).items():
            file.writestr(f"{folder}/data/{name}", content)
        file.writestr(f"{folder}/version", b"3\n")
    return stream.getvalue()


def legacy(program: bytes, keys: object = ("0",)) -> bytes:
    """The form before torch 1.6, around any pickle."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    tail = pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2)
    return b"".join(pickle.dumps(one, 2) for one in head) + program + tail + struct.pack("<q", 4) + bytes(16)


def doubled(times: int, pair: bytes = b"\x86") -> bytes:
    """Opcodes of a value that holds the one before it twice, so many times."""
    return b"N" + b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + pair for k in range(times))


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage(count: bytes = b"K\x04", key: bytes = text("0"), place: bytes = text("cpu")) -> bytes:
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + key + place + count + b"tQ"


def tensor(size: bytes, stride: bytes, of: bytes = storage()) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + of
        + b"K\x00("
        + size
        + b"t("
        + stride
        + b"t\x89ccollections\nOrderedDict\n)RtR"
    )


NESTED = doubled(60)
LONG_LIST = b"](" + b"N" * 3000 + b"eq\x00"
BILLION = b"\x8a\x05" + (10**9).to_bytes(5, "little")
PROGRAMS = {
    "a key of nested pairs": b"\x80\x02}" + NESTED + b"Ns.",
    "a key in many items": b"\x80\x02}(" + NESTED + b"Nu.",
    "a set of nested pairs": b"\x80\x02cbuiltins\nset\n](" + NESTED + b"e\x85R.",
    "an ordered dict": b"\x80\x02ccollections\nOrderedDict\n](" + NESTED + b"N\x86e\x85R.",
    "a counter": b"\x80\x02ccollections\nCounter\n(](" + NESTED + b"etR.",
    "values nested in values": b"\x80\x02}" + text("simswap") + NESTED + b"s.",
    "lists in themselves": b"\x80\x02]q\x00h\x00a.",
    "dicts in dicts, each twice": b"\x80\x02}" + b"".join(
        b"q%c0}(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cu" % (k, k, k) for k in range(45)) + b".",
    "nested without an end": b"\x80\x02" + b"]" * 400 + b"a" * 399 + b".",
    "copies of a long list": b"\x80\x02" + LONG_LIST + b"ctorch\nSize\nq\x01" + b"h\x01h\x00\x85R0" * 3000 + b".",
    "a storage's name": b"\x80\x02" + storage(key=NESTED) + b".",
    "a storage that is none": b"\x80\x02(" + NESTED + b"NNNNtQ.",
    "a storage's view": b"\x80\x02(" + storage()[1:-2] + b"(" + NESTED + b"K\x00K\x01ttQ.",
    "a storage of gigabytes": b"\x80\x02" + storage(count=BILLION) + b".",
    "a call of nested pairs": b"\x80\x02" + NESTED + b")R.",
    "a tensor of stride 0": b"\x80\x02}" + text("a") + tensor(BILLION, b"K\x00") + b"s.",
    "a tensor beyond its values": b"\x80\x02" + tensor(b"K\x05", b"K\x01") + b".",
    "many tensors of stride 0": b"\x80\x02](" + tensor(b"J" + struct.pack("<i", 10**5), b"K\x00") * 11 + b"e.",
    "a tensor of many axes": b"\x80\x02" + tensor(b"K\x01" * 60, b"K\x01" * 60) + b".",
    "methods of a dict": b"\x80\x02ccollections\nOrderedDict\n)R}" + text("items") + b"Nsb.",
    "nested attributes": b"\x80\x02ccollections\nOrderedDict\n)R}" + text("_metadata") + NESTED + b"sb.",
    "an array of gigabytes": b"\x80\x05\x96" + (2**34).to_bytes(8, "little") + b".",
    "numbers that collide": b"\x80\x02}(" + b"".join(
        b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 20000)) + b"u.",
    "a call of the system": b"\x80\x02cos\nsystem\n" + text("touch was-run") + b"\x85R.",
}  # fmt: skip
HOSTILE = {
    **{name: archive(program) for name, program in PROGRAMS.items()},
    **{f"{name} (old form)": legacy(program) for name, program in PROGRAMS.items()},
    "packed zeros": archive(b"\x80\x02}.", {"0": bytes(10**7)}, packed=True),
    "the machine of the old form": b"".join(pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001)) +
        b"\x80\x02}" + NESTED + b"Ns.",
    "the keys of the old form": legacy(b"\x80\x02" + tensor(b"K\x04", b"K\x01") + b".", keys={"1": 2}),
}  # fmt: skip
