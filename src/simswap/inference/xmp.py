"""A photo's XMP and the provenance of the swapped image, as one packet.

The photo's own properties (caption, credit, rights, keywords, …) stay as they are. Ours are added; only what is no
longer true is replaced (IPTC's digital source type) or removed (orientation, sizes, previews, which show the original
face).
"""

from collections.abc import Mapping
from xml.dom import XMLNS_NAMESPACE, minidom
from xml.dom.minidom import Document, Element, Node
from xml.parsers.expat import ExpatError

from simswap.pictures import xmp_packet

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "note": "http://ns.adobe.com/xmp/note/",
    "simswap": "urn:simswap-lab:",
}
_UNTRUE = {
    (NAMESPACES["ext"], "DigitalSourceType"), (NAMESPACES["tiff"], "Orientation"),
    (NAMESPACES["tiff"], "ImageWidth"), (NAMESPACES["tiff"], "ImageLength"),
    (NAMESPACES["exif"], "PixelXDimension"), (NAMESPACES["exif"], "PixelYDimension"),
    (NAMESPACES["xmp"], "Thumbnails"), (NAMESPACES["note"], "HasExtendedXMP"),
}  # fmt: skip
# What says who made, owns and describes the photo is never left out for its length; ours neither.
_KEPT = (
    NAMESPACES["dc"], NAMESPACES["photoshop"], NAMESPACES["ext"], NAMESPACES["simswap"],
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", "http://ns.adobe.com/xap/1.0/rights/",
    "http://ns.useplus.org/ldf/xmp/1.0/", "http://creativecommons.org/ns#",
)  # fmt: skip
_A_JPEG = "/9j/"  # FF D8 FF in base64

Facts = Mapping[str, tuple[str, list[str]]]


def merged(own: bytes, words: Mapping[str, str], facts: Facts, limit: int | None = None) -> tuple[bytes, list[str]]:
    """The photo's packet with our properties, and the removed parts as text.

    Args:
        own: the photo's XMP, may be empty or damaged.
        words: from `pictures.provenance`.
        facts: metadata from elsewhere in the photo (`iptc.properties`), for properties that its XMP lacks.
        limit: largest size of the packet in bytes.
    """
    ours = minidom.parseString(xmp_packet(words))
    word = _descriptions(ours)[0]
    document, left_out = _parsed(own)
    if document is None:
        document = ours
    else:
        rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
        _drop_untrue(document)
        said = _said(document)
        for name in [(NAMESPACES["xmp"], "CreatorTool"), (NAMESPACES["dc"], "description")]:
            if name in said:
                _remove(word, name)
        described = _descriptions(document)
        if described and described[0].hasAttributeNS(RDF, "about"):
            word.setAttributeNS(RDF, "rdf:about", described[0].getAttributeNS(RDF, "about"))
        word.setAttribute("xmlns:rdf", RDF)
        word = document.importNode(word, deep=True)
        rdf.appendChild(word)
    _add_facts(document, word, facts)
    if limit is not None:
        left_out += _shorten(document, limit)
        if len(_packet(document)) > limit:
            return xmp_packet(words), ["the photo's XMP, too long for this format"]
    return _packet(document), left_out


def _parsed(own: bytes) -> tuple[Document | None, list[str]]:
    """The photo's packet, or None and the reason why it cannot be used."""
    own = own.strip(b"\0 \r\n\t")
    if not own:
        return None, []
    try:
        if b"<!DOCTYPE" in own.replace(b"\0", b""):  # its entities can grow without end, and XMP has none
            raise ValueError
        document = minidom.parseString(own)
        if not document.getElementsByTagNameNS(RDF, "RDF"):
            raise ValueError
    except (ExpatError, ValueError, LookupError):
        return None, ["the photo's XMP, which is broken"]
    return document, []


def _descriptions(document: Document) -> list[Element]:
    return [
        node
        for node in document.getElementsByTagNameNS(RDF, "Description")
        if node.parentNode is not None and node.parentNode.localName == "RDF"
    ]


def _said(document: Document) -> set[tuple[str | None, str | None]]:
    """Namespace and name of every property of the photo."""
    names: set[tuple[str | None, str | None]] = set()
    for description in _descriptions(document):
        names |= {(item.namespaceURI, item.localName) for item in _properties(description)}
    return names


def _properties(description: Element) -> list[Node]:
    """The properties of one description: attributes (but those of RDF and declarations) and elements."""
    attributes = [description.attributes.item(i) for i in range(description.attributes.length)]
    named = [a for a in attributes if a is not None and a.namespaceURI not in (None, RDF, XMLNS_NAMESPACE)]
    return [*named, *(node for node in description.childNodes if node.nodeType == Node.ELEMENT_NODE)]


def _remove(description: Element, name: tuple[str | None, str | None]) -> None:
    for item in _properties(description):
        if (item.namespaceURI, item.localName) == name:
            _take_out(description, item)


def _take_out(description: Element, item: Node) -> None:
    if item.nodeType == Node.ATTRIBUTE_NODE:
        description.removeAttributeNS(item.namespaceURI, item.localName)  # type: ignore[arg-type]
    else:
        description.removeChild(item)  # type: ignore[type-var]


def _drop_untrue(document: Document) -> None:
    for description in _descriptions(document):
        for item in _properties(description):
            name = (item.namespaceURI, item.localName)
            if name in _UNTRUE or name[0] == NAMESPACES["simswap"] or _A_JPEG in _source(item):
                _take_out(description, item)


def _add_facts(document: Document, word: Element, facts: Facts) -> None:
    """Add what the photo's XMP lacks; a caption takes the place of our own description."""
    said = _said(document)
    ours = {(item.namespaceURI, item.localName) for item in _properties(word)}
    for name, (form, values) in facts.items():
        prefix, local = name.split(":")
        key = (NAMESPACES[prefix], local)
        if key in said and not (key in ours and local == "description"):
            continue
        _remove(word, key)
        element = document.createElementNS(NAMESPACES[prefix], name)
        element.setAttribute(f"xmlns:{prefix}", NAMESPACES[prefix])
        _fill(document, element, form, values)
        word.appendChild(element)


def _fill(document: Document, element: Element, form: str, values: list[str]) -> None:
    clean = ["".join(c for c in value if c.isprintable() or c in "\n\t") for value in values]
    if not form:
        element.appendChild(document.createTextNode(clean[0]))
        return
    group = document.createElementNS(RDF, f"rdf:{form}")
    for value in clean[:1] if form == "Alt" else clean:
        entry = document.createElementNS(RDF, "rdf:li")
        if form == "Alt":
            entry.setAttribute("xml:lang", "x-default")
        entry.appendChild(document.createTextNode(value))
        group.appendChild(entry)
    element.appendChild(group)


def _shorten(document: Document, limit: int) -> list[str]:
    """Remove the longest properties, except those on ownership, until the packet fits."""
    left_out = []
    while len(_packet(document)) > limit:
        places = [(d, item) for d in _descriptions(document) for item in _properties(d)]
        places = [place for place in places if place[1].namespaceURI not in _KEPT]
        if not places:
            break
        description, item = max(places, key=lambda place: len(_source(place[1])))
        left_out.append(f"XMP {item.nodeName}")
        _take_out(description, item)
    return left_out


def _source(item: Node) -> str:
    return item.value if item.nodeType == Node.ATTRIBUTE_NODE else item.toxml()  # type: ignore[attr-defined]


def _packet(document: Document) -> bytes:
    root = document.documentElement
    assert root is not None
    text = root.toxml()
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}<?xpacket end="w"?>'.encode()
