# -*- coding: utf-8 -*-
response.logo = A(B(configuration.get('app.name')), _href=URL('default', 'index'), _class='navbar-brand')
response.title = configuration.get('app.name')
response.menu = [
    (T('Front page'), False, URL('default', 'index'), []),
    (T('All pages'), False, URL('default', 'pages'), []),
    (T('Search'), False, URL('default', 'search'), []),
]
if is_editor():
    response.menu.append((T('Editors'), False, URL('default', 'editors'), []))
