# -*- coding: utf-8 -*-
{
'commento': ['commenti'],
}
