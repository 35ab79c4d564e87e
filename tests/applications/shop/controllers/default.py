# -*- coding: utf-8 -*-
def categories():
    return [(row.id, row.name) for row in db(db.category).select(orderby=db.category.name)]


def index():
    """The products, a page at a time; index.json is the same for programs."""
    per_page = configuration.get('shop.per_page')
    page = request.args(0, default=0, cast=int, otherwise=lambda: redirect(URL('index')))
    query = db.product.stock > 0
    if request.vars.category:
        query &= db.product.category == request.vars.category
    products = db(query).select(orderby=db.product.name, limitby=(page * per_page, (page + 1) * per_page + 1))
    more = len(products) > per_page
    if request.extension == 'json':
        return dict(products=[dict(id=row.id, name=row.name, price=str(row.price)) for row in products[:per_page]],
                    more=more)
    return dict(products=products[:per_page], page=page, more=more,
                categories=cache.ram('categories', categories, time_expire=300),
                favourites=cache.disk('favourites', favourites, time_expire=3600), last=last_visited())


def favourites():
    sold = db.item.quantity.sum()
    rows = db(db.item.product == db.product.id).select(
        db.product.name, sold, groupby=db.product.id, orderby=~sold, limitby=(0, 3))
    return [(row.product.name, row[sold]) for row in rows]


def last_visited():
    if 'last_visited' in request.cookies:
        return db.product(request.cookies['last_visited'].value)


def product():
    row = db.product(request.args(0, cast=int)) or redirect(URL('index'))
    response.cookies['last_visited'] = row.id
    response.cookies['last_visited']['expires'] = 30 * 24 * 3600
    response.cookies['last_visited']['path'] = '/'
    response.title = row.name
    if request.extension == 'json':
        return dict(product=dict(id=row.id, name=row.name, stock=row.stock))
    return dict(product=row)


@auth.requires_membership('managers')
def manage():
    """Products and categories, with the pictures."""
    grid = SQLFORM.smartgrid(db.category, linked_tables=['product'], upload=URL('download'), oncreate=changed,
                             onupdate=changed, ondelete=lambda table, id: changed(None))
    return dict(grid=grid)


def changed(form):
    cache.ram.clear('categories')


def download():
    """web2py streams the file, in parts if the browser asks for a range of its bytes."""
    return response.download(request, db, attachment=False)


def user():
    return dict(form=auth())


@service.json
def stock(id):
    row = db.product(id)
    return dict(name=row.name, stock=row.stock) if row else dict(error='unknown product')


@service.jsonrpc
def orders(day):
    return db(db.purchase.placed.like(day + '%')).count()


def call():
    session.forget(response)
    return service()


def not_found():
    response.status = 404
    return dict(path=request.vars.requested_uri)
