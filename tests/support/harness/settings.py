"""A play's settings laid over the default ones.

Works on the lines of block mappings, not on values: a key of the play replaces the same key of
the defaults, or joins it where both are block mappings. A value of `none` takes the key away.
"""


def _entries(text):
    """Splits a block mapping into {key: [head line, further lines]}; None when it is none."""
    entries, key = {}, None
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith('#')]
    if not lines:
        return {}
    indent = len(lines[0]) - len(lines[0].lstrip())
    for line in lines:
        if len(line) - len(line.lstrip()) > indent or line.lstrip().startswith('- '):
            if key is None:
                return None
            entries[key].append(line)
        else:
            name, colon, _ = line.strip().partition(':')
            if not colon or name.startswith(('-', '{', '[')):
                return None
            key = name.strip()
            entries[key] = [line.strip()]
    return entries


def merge(base, over, depth=0):
    """The merged YAML text of two block mappings."""
    result, upper = _entries(base), _entries(over)
    for key, lines in upper.items():
        old = result.get(key)
        value = lines[0].partition(':')[2].strip()
        if value == 'none':
            result.pop(key, None)
        elif old and not value and _is_block(old) and _is_block(lines):
            result[key] = [key + ':', merge('\n'.join(old[1:]), '\n'.join(lines[1:]), depth + 1)]
        else:
            result[key] = lines
    return '\n'.join(_render(lines) for lines in result.values())


def _is_block(lines):
    return len(lines) > 1 and _entries('\n'.join(lines[1:])) is not None


def _render(lines):
    """Head and body, the body one step deeper than the head."""
    body = '\n'.join(lines[1:]).splitlines()
    if not body:
        return lines[0]
    least = min(len(line) - len(line.lstrip()) for line in body if line.strip())
    return '\n'.join([lines[0], *('    ' + line[least:] for line in body)])
