"""What runs in people's browsers: the widget, and the page that shows it. Holds files, no code."""
