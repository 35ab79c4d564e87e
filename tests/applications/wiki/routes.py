# -*- coding: utf-8 -*-
# /page/Start is /wiki/default/page/Start, and /it/page/Start is the same page in Italian.
routers = dict(
    BASE=dict(default_application='wiki'),
    wiki=dict(
        default_language='en',
        languages=['en', 'it', 'de'],
        functions=['index', 'page', 'edit', 'history', 'revert', 'attach', 'watch', 'share', 'shared', 'pages',
                   'search', 'editors', 'user', 'download'],
    ),
)
