"""Where bytes come from: a file over HTTP(S) or from a path, a repository of the hub.

- `mirrors`: a source's file from the first of its addresses that gives it; `http`: from one, or
  which version that has; `locations`, `object_stores`: what is asked for it.
- `download`: one file on its way, by `stream` or by `segments` (`spans`, `segmented_file`) into a
  `partial_file`; `answers`: what servers say; `retry`, `limits`: patience and its bounds.
- `image_downloads`: many images by their addresses; `hub`: repositories.
- `connection`: the client of all of them; `connection_faults`: why one failed;
  `addresses`, `bandwidth`: where it may go, and how fast.
"""
