# -*- coding: utf-8 -*-
default_application = 'shop'

routes_in = (
    ('/', '/shop/default/index'),
    ('/p/$anything', '/shop/default/product/$anything'),
    ('/order/$anything', '/shop/checkout/status/$anything'),
    ('/favicon.ico', '/shop/static/favicon.ico'),
)
routes_out = (
    ('/shop/default/index', '/'),
    ('/shop/default/product/$anything', '/p/$anything'),
    ('/shop/checkout/status/$anything', '/order/$anything'),
)
routes_onerror = [
    ('shop/404', '/shop/default/not_found'),
    ('shop/500', '/shop/static/error.html'),
]
