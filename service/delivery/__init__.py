"""How alerts leave: HTTP and SMTP. Knows no database; whoever calls decides what is sent when."""
