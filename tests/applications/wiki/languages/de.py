# -*- coding: utf-8 -*-
{
'!langcode!': 'de',
'!langname!': 'Deutsch',
'All pages': 'Alle Seiten',
'Front page': 'Startseite',
'Linked from': 'Seiten mit einem Link hierher',
'Remarks': 'Kommentare',
'Save': 'Speichern',
'Search': 'Suchen',
'Thank you': 'Danke',
"This page doesn't exist": 'Diese Seite gibt es nicht',
'This page is locked': 'Diese Seite ist gesperrt',
}
