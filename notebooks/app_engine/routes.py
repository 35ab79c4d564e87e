default_application = "tutorial"  # the application at the URL /
