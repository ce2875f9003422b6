"""One file a runtime; none knows another.

Each module offers ``PRECISIONS`` (what it can be asked for), ``reads(path)`` (whether it runs that kind of file),
``probe()`` (None when it can be used here, else why not and what to install), ``choose(manifest)`` (the precision when
none was asked for) and ``open_session(path, ...)``. One that serves several names has ``VARIANTS``, name -> an object
with the same. The library itself is imported inside these functions, so that
naming a backend costs nothing.
"""
