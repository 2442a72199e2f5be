"""From a folder of runs to tables, figures and one page; reads files only and never imports torch."""
