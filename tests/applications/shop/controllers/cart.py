# -*- coding: utf-8 -*-
def index():
    return dict(rows=cart_rows(), total=cart_total())


def add():
    row = db.product(request.post_vars.product) or redirect(URL('default', 'index'))
    quantity = cart().get(row.id, 0) + int(request.post_vars.quantity or 1)
    if quantity > row.stock:
        session.flash = 'Only %i left' % row.stock
    else:
        cart()[row.id] = quantity
    redirect(URL('cart', 'index'))


def remove():
    cart().pop(request.args(0, cast=int), None)
    redirect(URL('cart', 'index'))


def count():
    """A component of the layout."""
    return str(sum(cart().values()))
