# -*- coding: utf-8 -*-
from gluon.contrib.appconfig import AppConfig

configuration = AppConfig()
QUEUED, RUNNING, COMPLETED, FAILED = 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED'
