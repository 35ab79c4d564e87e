# -*- coding: utf-8 -*-
from gluon.tools import PluginManager


def _():
    plugins = PluginManager('tags', most=5)
    db.define_table(
        'plugin_tags_tag',
        Field('name', length=40),
        Field('table_name', length=40),
        Field('record', 'integer'))
    response.files.append(URL('static', 'plugin_tags/tags.css'))


_()


def plugin_tags(table_name, record):
    """The tags of a record, as a component."""
    return LOAD('plugin_tags', 'index', args=[table_name, record], ajax=False)
