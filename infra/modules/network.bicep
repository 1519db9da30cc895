metadata description = 'A virtual network, and the ways from it to storage and vault. Peering it with another network is the way to databases on-premises.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('The addresses, in CIDR notation, a /25 or larger.')
param addresses string

@description('Addresses of DNS servers, with commas between; empty for the DNS of Azure.')
param dnsServers string

@description('The resource id of the storage account.')
param storageId string

@description('The resource id of the vault.')
param vaultId string

// Without rules of its own it lets in nothing but what comes from this network and from its peers.
resource guard 'Microsoft.Network/networkSecurityGroups@2025-09-01' = {
  name: 'nsg-copyjob-${suffix}'
  location: location
  tags: tags
}

resource network 'Microsoft.Network/virtualNetworks@2025-09-01' = {
  name: 'vnet-copyjob-${suffix}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addresses
      ]
    }
    // Servers that are set by hand would be gone after the next deployment.
    dhcpOptions: {
      dnsServers: filter(map(split(dnsServers, ','), server => trim(server)), server => !empty(server))
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addresses, 26, 0)
          // S3, OneLake, Entra ID and Application Insights are outside: without it no way leads there.
          defaultOutboundAccess: true
          delegations: [
            {
              name: 'flex-consumption'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
          networkSecurityGroup: {
            id: guard.id
          }
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addresses, 27, 2)
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: guard.id
          }
        }
      }
    ]
  }
}

module storage 'private-endpoints.bicep' = {
  name: 'storage-endpoints'
  params: {
    location: location
    tags: tags
    suffix: suffix
    targetId: storageId
    services: [
      {
        name: 'blob'
        zone: 'privatelink.blob.${environment().suffixes.storage}'
      }
      {
        name: 'queue'
        zone: 'privatelink.queue.${environment().suffixes.storage}'
      }
      {
        name: 'table'
        zone: 'privatelink.table.${environment().suffixes.storage}'
      }
    ]
    networkId: network.id
    subnetId: '${network.id}/subnets/endpoints'
  }
}

module vault 'private-endpoints.bicep' = {
  name: 'vault-endpoint'
  params: {
    location: location
    tags: tags
    suffix: suffix
    targetId: vaultId
    services: [
      {
        name: 'vault'
        zone: 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
      }
    ]
    networkId: network.id
    subnetId: '${network.id}/subnets/endpoints'
  }
}

@description('The subnet that the app sends from. It is known when the endpoints are there, without which the app finds no storage.')
output appSubnetId string = '${network.id}/subnets/app'
