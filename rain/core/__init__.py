"""The words every part of Rain uses: ids, specs, resources, failures, errors."""
