"""Tables as Markdown and LaTeX."""
