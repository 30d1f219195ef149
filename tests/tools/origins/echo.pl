#!/usr/bin/perl
# CGI: tells what request it was asked with.
binmode STDIN;
local $/;
my $body = <STDIN>;
my @fields = ($ENV{REQUEST_METHOD}, $ENV{REQUEST_URI}, $body, $ENV{CONTENT_TYPE}, $ENV{HTTP_X});
print "Content-Type: text/plain\r\nX-Seen: ", join(":", map { unpack("H*", $_ // "") } @fields), "\r\n\r\nok";
