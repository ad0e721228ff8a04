"""A piece of a page, HTML or SVG. Text and attributes are escaped when the page is written."""

from xml.etree import ElementTree


def element(tag, *inside, **attributes):
    """`class_` is the attribute class, `text_anchor` is text-anchor; inside are elements and texts."""
    made = ElementTree.Element(tag, {name.rstrip('_').replace('_', '-'): str(value)
                                     for name, value in attributes.items()})
    add(made, *inside)
    return made


def add(to, *inside):
    for piece in inside:
        if isinstance(piece, ElementTree.Element):
            to.append(piece)
        elif len(to):
            to[-1].tail = (to[-1].tail or '') + str(piece)
        else:
            to.text = (to.text or '') + str(piece)


def document(html):
    return '<!DOCTYPE html>\n' + ElementTree.tostring(html, encoding='unicode', method='html') + '\n'
