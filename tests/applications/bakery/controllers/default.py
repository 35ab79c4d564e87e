def buy():
    form = SQLFORM(db.purchase)
    if form.process().accepted:
        from google.appengine.api import taskqueue
        taskqueue.add(url=URL('charge'), params=dict(purchase=int(form.vars.id)))
        session.buyer = form.vars.buyer
        redirect(URL('thanks'))
    return dict(form=form)


def charge():
    purchase = db.purchase(request.vars['purchase'])
    db.charge.insert(purchase=purchase.id, amount=purchase.cake.price)


def thanks():
    return 'Thank you, %s.' % session.buyer


def cake():
    form = SQLFORM(db.cake, upload=URL('download'))
    if form.process().accepted:
        redirect(URL('thanks'))
    return dict(form=form)


def download():
    return response.download(request, db)
