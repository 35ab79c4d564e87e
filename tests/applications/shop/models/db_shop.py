# -*- coding: utf-8 -*-
from decimal import Decimal

db.define_table(
    'category',
    Field('name', unique=True, requires=IS_NOT_EMPTY()),
    format='%(name)s')

db.define_table(
    'product',
    Field('category', 'reference category'),
    Field('name', requires=IS_NOT_EMPTY()),
    Field('description', 'text'),
    Field('price', 'decimal(8,2)', default=0, requires=IS_DECIMAL_IN_RANGE(0, 100000)),
    Field('stock', 'integer', default=1, requires=IS_INT_IN_RANGE(0, 1000)),
    Field('picture', 'upload', requires=IS_EMPTY_OR(IS_IMAGE(extensions=('png', 'gif'), maxsize=(400, 400)))),
    Field('added', 'datetime', default=request.now, writable=False),
    format='%(name)s')

db.define_table(
    'purchase',
    Field('name', requires=IS_NOT_EMPTY()),
    Field('email', requires=IS_EMAIL()),
    Field('address', 'text', requires=IS_NOT_EMPTY()),
    Field('card', requires=IS_MATCH(r'^\d{4}$', error_message='The last four digits of the card')),
    Field('total', 'decimal(8,2)', readable=False, writable=False),
    Field('status', default=NEW, requires=IS_IN_SET(STATUSES), readable=False, writable=False),
    Field('receipt', readable=False, writable=False),
    Field('placed', 'datetime', default=request.now, readable=False, writable=False),
    Field('charged', 'datetime', readable=False, writable=False))

db.define_table(
    'item',
    Field('purchase', 'reference purchase'),
    Field('product', 'reference product'),
    Field('quantity', 'integer'),
    Field('price', 'decimal(8,2)'))

db.define_table('report', Field('day', 'date', unique=True), Field('sold', 'integer', default=0),
                Field('total', 'decimal(10,2)', default=0), Field('complete', 'boolean', default=False))

db.item.sum = Field.Method('sum', lambda row: row.item.quantity * row.item.price)


def cart():
    """The cart of this visitor: quantities by the product's id."""
    session.cart = session.cart or {}
    return session.cart


def cart_rows():
    rows = db(db.product.id.belongs(list(cart()))).select(orderby=db.product.name)
    return [(row, cart()[row.id]) for row in rows]


def cart_total():
    return sum((row.price * quantity for row, quantity in cart_rows()), Decimal(0))
