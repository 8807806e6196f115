"""End to end: kubectl, the operator, the app and a browser, on the local cluster that `make up` brings up."""
