# -*- coding: utf-8 -*-
{
'!langcode!': 'it',
'!langname!': 'Italiano',
'%s has changed this page since you opened it': '%s ha modificato questa pagina dopo che l\'hai aperta',
'All pages': 'Tutte le pagine',
'Front page': 'Pagina iniziale',
'Linked from': 'Pagine che puntano qui',
'Remarks': 'Commenti',
'Save': 'Salva',
'Search': 'Cerca',
'Thank you': 'Grazie',
"This page doesn't exist": 'Questa pagina non esiste',
'This page is locked': 'Questa pagina è bloccata',
'%s %%{remark}': '%s %%{commento}',
}
