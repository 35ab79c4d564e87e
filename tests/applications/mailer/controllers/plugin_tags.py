# -*- coding: utf-8 -*-
def index():
    plugins = PluginManager('tags')
    table_name, record = request.args(0), request.args(1, cast=int)
    query = (db.plugin_tags_tag.table_name == table_name) & (db.plugin_tags_tag.record == record)
    rows = db(query).select(orderby=db.plugin_tags_tag.name, limitby=(0, int(plugins.tags.most)))
    return dict(tags=[row.name for row in rows], table_name=table_name, record=record)


def add():
    for name in (request.post_vars.names or '').split(','):
        if name.strip():
            db.plugin_tags_tag.update_or_insert(
                name=name.strip().lower(), table_name=request.args(0), record=request.args(1, cast=int))
    redirect(URL('index', args=request.args), client_side=False)
