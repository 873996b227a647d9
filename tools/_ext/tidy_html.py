"""Mend the HTML that Sphinx 7.4 writes (see sphinx.local_extensions in _config.yml)."""


def keep_each_script_once(app, pagename, templatename, context, doctree):
    """Drop repeated scripts: sphinx-thebe's second copy is an error in the browser."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        key = (getattr(script, "filename", script) or "", tuple(sorted(attributes.items())))
        if key not in seen:
            seen.add(key)
            kept.append(script)
    context["script_files"] = kept


def setup(app):
    app.connect("html-page-context", keep_each_script_once, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
