"""`qinstruct data FILE`: what is in a label file or in prepared data, as tables and one HTML page.

`read` opens what FILE is, `kinds` says what a question asks for, `summary` counts, `page` writes
the HTML, `command` joins them. Records and images are not trusted.
"""
