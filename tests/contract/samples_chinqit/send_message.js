const response = await fetch("https://sms.chinqit.com/messages/send", {
method: "POST",
headers: {
"Content-Type": "application/json",
"X-API-Key": "your-api-key",
},
body: JSON.stringify({
message: "Hello from SMS Gateway!",
phoneNumber: "+1234567890",
}),
});
const data = await response.json();
console.log("Message ID:", data.messageId);
