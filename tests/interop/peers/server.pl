# An SMPP server by Debian's libnet-smpp-perl: perl server.pl PORT. What server.cjs does, one connection at a time.
use strict;
use warnings;
use Net::SMPP;

my %found = (binds => 0, refused => 0, submits => 0, acked => 0, nacked => 0, unbinds => 0);
my (@messages, $told);
my $next = 1000;
$| = 1;
$SIG{PIPE} = 'IGNORE';

sub report {
    print '{', join(', ', map { "\"$_\": $found{$_}" } sort keys %found), ', "messages": [', join(', ', @messages), "]}\n";
    exit 0;
}
$SIG{TERM} = \&report;

my $listener = Net::SMPP->new_listen('127.0.0.1', smpp_version => 0x34, interface_version => 0x34, port => $ARGV[0])
    or die "cannot listen: $!";
print "ready\n";

sub deliver {
    my ($link, %more) = @_;
    $link->deliver_sm(async => 1, source_addr_ton => 1, source_addr_npi => 1, %more);
}

sub handsets {
    my ($link) = @_;
    $told = 1;
    my %way = (source_addr => '447700900123', destination_addr => '447700900999');
    deliver($link, %way, short_message => "Answer $_ na\x07ve \x1be") for 0 .. 19;
    deliver($link, %way, esm_class => 0x40, short_message => pack('C*', 5, 0, 3, 7, 2, $_) . "part $_, ") for 2, 1;
}

while (1) {
    my $link = $listener->accept or next;
    while (my $pdu = $link->read_pdu) {
        my $command = $pdu->{cmd};
        if ($command == Net::SMPP::CMD_bind_transceiver) {
            my $well = $pdu->{system_id} eq 'demo' && $pdu->{password} eq 'demo';
            $found{ $well ? 'binds' : 'refused' }++;
            $link->bind_transceiver_resp(system_id => 'perl', seq => $pdu->{seq}, status => $well ? 0 : 0x0d);
        } elsif ($command == Net::SMPP::CMD_submit_sm) {
            my $id = $next++;
            $found{submits}++;
            my $text = unpack 'H*', $pdu->{short_message};
            push @messages, "[\"$pdu->{destination_addr}\", $pdu->{esm_class}, $pdu->{data_coding}, \"$text\"]";
            $link->submit_sm_resp(message_id => $id, seq => $pdu->{seq});
            handsets($link) unless $told;
            deliver($link,
                source_addr => $pdu->{destination_addr}, destination_addr => $pdu->{source_addr}, esm_class => 4,
                short_message => "id:$id sub:001 dlvrd:001 submit date:2611300300 done date:2611300301 stat:DELIVRD err:000 text:");
        } elsif ($command == Net::SMPP::CMD_deliver_sm_resp) {
            $found{ $pdu->{status} ? 'nacked' : 'acked' }++;
        } elsif ($command == Net::SMPP::CMD_enquire_link) {
            $link->enquire_link_resp(seq => $pdu->{seq});
        } elsif ($command == Net::SMPP::CMD_unbind) {
            $found{unbinds}++;
            $link->unbind_resp(seq => $pdu->{seq});
            last;
        }
    }
    close $link;
}
