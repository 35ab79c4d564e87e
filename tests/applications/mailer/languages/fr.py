# -*- coding: utf-8 -*-
{
'!langcode!': 'fr',
'!langname!': 'Français',
'Subscribe': "S'abonner",
'readers': 'lecteurs',
}
